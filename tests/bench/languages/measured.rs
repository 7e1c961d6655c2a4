//! The twin of measured.c.

use std::ops::ControlFlow;
use std::time::Instant;

use autoround::{Calibration, Events, Model, Options, Recipe, oneshot};

fn quantize(model_dir: &str, ids: &str, output: &str, iters: i64) -> autoround::Result<u64> {
    let (mut events, mut fractions, mut losses) = (0, 0.0, 0.0);
    let model = Model::open(model_dir)?;
    let mut recipe = Recipe::new()?;
    recipe.set("scheme", "W4A16")?.set("weights.group_size", 64)?.append("ignore", "lm_head")?.set("iters", iters)?;
    let mut data = Calibration::new(256)?;
    data.add_jsonl(ids, Some("input_ids"), 0)?;
    let mut options = Options::new()?;
    let usual = Events::PROGRESS | Events::BLOCK_BEGIN | Events::ITERATION | Events::BLOCK_END;
    options.set_output(output, "compressed-tensors")?.set_callback(usual, |event| {
        events += u64::from(!event.name().is_empty());
        fractions += event.fraction();
        losses += event.loss().unwrap_or(f64::NAN);
        ControlFlow::Continue(())
    })?;
    drop(oneshot(&model, &recipe, &data, options)?);
    Ok(events)
}

fn main() -> autoround::Result<()> {
    let arguments: Vec<_> = std::env::args().collect();
    for line in std::io::stdin().lines() {
        let line = line.expect("standard input is text");
        let (output, iters) = line.split_once(' ').expect("OUTPUT ITERATIONS");
        let start = Instant::now();
        let events = quantize(&arguments[1], &arguments[2], output, iters.parse().expect("a number"))?;
        println!("{:.6} {events}", start.elapsed().as_secs_f64());
    }
    Ok(())
}
