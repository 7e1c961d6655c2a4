//! What the tests share: a toy model on disk, opened, with token windows to calibrate on and a recipe: int4, group 32.

#![allow(dead_code)] // each test program uses its part

use std::path::PathBuf;

use autoround::{Calibration, Model, Options, Recipe, Result, RunResult, Session, oneshot};
use autoround_toy::Toy;

pub const WINDOW: usize = 16;

pub struct Scene {
    pub toy: Toy,
    pub model: Model,
    pub recipe: Recipe,
    pub data: Calibration,
}

impl Scene {
    pub fn new(iters: i64) -> Self {
        let toy = Toy::new();
        let model = Model::open(toy.model()).unwrap();
        let mut recipe = Recipe::new().unwrap();
        recipe.set("scheme", "W4A16").unwrap().set("weights.group_size", 32).unwrap();
        recipe.set("iters", iters).unwrap().set("batch_size", 4).unwrap().append("ignore", "lm_head").unwrap();
        let mut data = Calibration::new(WINDOW).unwrap();
        for sample in Toy::samples() {
            data.add_tokens(&sample).unwrap();
        }
        Self { toy, model, recipe, data }
    }

    pub fn oneshot(&self, options: Options<'_>) -> Result<RunResult> {
        oneshot(&self.model, &self.recipe, &self.data, options)
    }

    pub fn session<'a>(&self, options: Options<'a>) -> Session<'a> {
        Session::new(&self.model, &self.recipe, &self.data, options).unwrap()
    }

    /// Options that write to a folder of this name beside the model, and that folder.
    pub fn writing_to<'a>(&self, name: &str) -> (Options<'a>, PathBuf) {
        let mut options = Options::new().unwrap();
        let folder = self.toy.path(name);
        options.set_output(&folder, "compressed-tensors").unwrap();
        (options, folder)
    }

    /// What lies beside the model, hidden or not: what a failed run left behind.
    pub fn siblings(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.toy.path("")).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        names.filter(|name| name != "model").collect()
    }
}
