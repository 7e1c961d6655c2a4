//! Tunes one linear layer of a program that has model code of its own, no checkpoint on disk: `layer [ITERATIONS]`
//!
//!     cargo run --release --bin layer

use std::process::ExitCode;

use autoround::{Linear, Options, Part, Recipe, Tensor};

const OUT: usize = 64;
const IN: usize = 256;
const HIDDEN: usize = 16;
const SAMPLES: usize = 32;
const TOKENS: usize = 8;

/// In [-1, 1).
struct Uniform(u32);

impl Uniform {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1664525).wrapping_add(1013904223);
        (self.0 >> 8) as f32 / 8388608.0 - 1.0
    }

    fn values(&mut self, count: usize, scale: f32) -> Vec<f32> {
        (0..count).map(|_| scale * self.next()).collect()
    }
}

/// Stands for the host's model: a weight, and inputs whose columns depend on one another, as those of a real layer do.
fn run_the_model() -> (Vec<f32>, Vec<f32>) {
    let mut uniform = Uniform(1);
    let weight = uniform.values(OUT * IN, 0.05);
    let mixing = uniform.values(HIDDEN * IN, 1.0);
    let mut inputs = Vec::new();
    for _ in 0..SAMPLES * TOKENS {
        let mut row = uniform.values(IN, 0.1);
        for of_hidden in mixing.chunks(IN) {
            let hidden = uniform.next();
            for (value, mixed) in row.iter_mut().zip(of_hidden) {
                *value += hidden * mixed;
            }
        }
        inputs.extend(row);
    }
    (weight, inputs)
}

fn run(iters: i64) -> autoround::Result<()> {
    let (weight, inputs) = run_the_model();
    let mut layer = Linear::new("mlp.up_proj", &Tensor::from_f32(&[OUT, IN], &weight)?, None)?;
    // May be called many times, once a text.
    layer.add_inputs(&Tensor::from_f32(&[SAMPLES, TOKENS, IN], &inputs)?, None)?;
    let mut recipe = Recipe::new()?;
    recipe.set("scheme", "W4A16")?.set("iters", iters)?;
    let mut options = Options::new()?;
    options.set_compute_dtype("fp32")?;
    let result = layer.tune(&recipe, options)?;

    for (block, tuned) in result.blocks().zip(result.layers()) {
        let (before, after) = (block.loss_before(), block.loss_after());
        println!(
            "{}: loss {before:.6} rounded, {after:.6} tuned",
            tuned.name()
        );
        let (codes, scales) = (tuned.tensor(Part::Qweight)?, tuned.tensor(Part::Scales)?);
        let count: usize = scales.shape().iter().product();
        println!(
            "{} bytes of codes, {count} scales of type {}",
            codes.byte_size(),
            scales.dtype()
        );
    }
    Ok(())
}

fn main() -> ExitCode {
    let iters = std::env::args().nth(1);
    let Ok(iters) = iters.map_or(Ok(200), |iters| iters.parse()) else {
        eprintln!("usage: layer [ITERATIONS]");
        return ExitCode::from(2);
    };
    match run(iters) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {}", error.subject(), error.message());
            ExitCode::FAILURE
        }
    }
}
