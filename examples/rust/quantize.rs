//! Quantizes a checkpoint folder: `quantize MODEL_DIR CALIBRATION_FILE OUTPUT_DIR [ITERATIONS]`
//!
//!     cargo run --release -- MODEL_DIR CALIBRATION_FILE OUTPUT_DIR

use std::ops::ControlFlow;
use std::path::Path;
use std::process::ExitCode;

use autoround::{Calibration, Event, Events, Model, Options, Recipe, oneshot};

fn run(model_dir: &Path, text: &str, output: &str, iters: i64) -> autoround::Result<()> {
    let model = Model::open(model_dir)?;
    let mut recipe = Recipe::new()?;
    recipe
        .set("scheme", "W4A16")?
        .set("weights.group_size", 64)?
        .append("ignore", "lm_head")?
        .set("iters", iters)?;
    let mut data = Calibration::new(256)?;
    data.set_tokenizer(model_dir.join("tokenizer.json"))?
        .add_file(text, 32, false)?;
    let mut options = Options::new()?;
    options
        .set_output(output, "compressed-tensors")?
        .set_callback(Events::BLOCK_END, show)?;
    let result = oneshot(&model, &recipe, &data, options)?;
    println!(
        "{} blocks tuned, written to {output}",
        result.blocks().len()
    );
    Ok(())
}

fn show(event: &Event) -> ControlFlow<()> {
    let loss = three_digits(event.loss().unwrap_or(f64::NAN));
    println!(
        "{:5.1} %  {}  loss {loss}",
        100.0 * event.fraction(),
        event.name()
    );
    ControlFlow::Continue(()) // Break(()) stops the run
}

/// As C prints `%.3g`, so that both examples show the same figures.
fn three_digits(value: f64) -> String {
    let scientific = format!("{value:.2e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let short = |digits: &str| match digits.contains('.') {
        true => digits
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
        false => digits.to_owned(),
    };
    match usize::try_from(2 - exponent) {
        Ok(decimals) if exponent >= -4 => short(&format!("{value:.decimals$}")),
        _ => format!(
            "{}e{}{:02}",
            short(digits),
            if exponent < 0 { '-' } else { '+' },
            exponent.abs()
        ),
    }
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().collect();
    let iters = arguments.get(4).map_or(Ok(200), |iters| iters.parse());
    let ([_, model, text, output] | [_, model, text, output, _], Ok(iters)) =
        (&arguments[..], iters)
    else {
        eprintln!("usage: quantize MODEL_DIR CALIBRATION_FILE OUTPUT_DIR [ITERATIONS]");
        return ExitCode::from(2);
    };
    match run(Path::new(model), text, output, iters) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {}", error.subject(), error.message());
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn three_digits_are_those_of_c() {
        let as_c = [
            (0.0, "0"),
            (1.0, "1"),
            (123.4, "123"),
            (999.9, "1e+03"),
            (0.05, "0.05"),
            (0.000123456, "0.000123"),
            (0.0000123456, "1.23e-05"),
            (9.999e-5, "0.0001"),
            (12345678.0, "1.23e+07"),
        ];
        for (value, text) in as_c {
            assert_eq!(super::three_digits(value), text);
        }
    }
}
