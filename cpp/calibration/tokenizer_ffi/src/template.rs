//! Chat templates as transformers renders them: the same whitespace rules, functions and filters, and Python's
//! methods. A template is untrusted text: it sees no files and no network, and its work, memory, recursion and output
//! are bounded.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use crate::budget::run_bounded;
use crate::strftime::strftime_now;
use crate::tags::prepare;
use crate::tojson::tojson;

const MAX_TEMPLATE_BYTES: usize = 1 << 20;
const MAX_OUTPUT_BYTES: usize = 4 << 20;
const MAX_MEMORY_BYTES: usize = 64 << 20;
const MAX_RECURSION: usize = 200;
const FUEL: u64 = 10_000_000; // instructions

/// @param context JSON object with the variables of the template.
pub fn render(source: &str, context: &str) -> Result<String, String> {
    if source.len() > MAX_TEMPLATE_BYTES {
        return Err(format!("it has {} bytes; at most {MAX_TEMPLATE_BYTES} are allowed", source.len()));
    }
    let source = prepare(source)?;
    let context = context.to_string();
    run_bounded(MAX_MEMORY_BYTES, move || {
        let context: serde_json::Value = serde_json::from_str(&context).map_err(|e| e.to_string())?;
        let mut output = CappedOutput(Vec::new());
        render_into(&mut output, &source, &context).map_err(describe)?;
        String::from_utf8(output.0).map_err(|e| e.to_string())
    })
}

fn render_into(output: &mut CappedOutput, source: &str, context: &serde_json::Value) -> Result<(), Error> {
    let environment = environment()?;
    environment
        .template_from_named_str("chat template", source)?
        .render_captured_to(Value::from(Serde(context)), output)?;
    Ok(())
}

fn environment() -> Result<Environment<'static>, Error> {
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?;
    let mut environment = Environment::new();
    environment.set_syntax(syntax);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(MAX_RECURSION);
    environment.set_unknown_method_callback(unknown_method_callback);
    environment.add_filter("tojson", tojson);
    environment.add_function("strftime_now", |format: String| strftime_now(&format));
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    Ok(environment)
}

/// Keeps the first bytes and fails on the rest.
struct CappedOutput(Vec<u8>);

impl io::Write for CappedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > MAX_OUTPUT_BYTES - self.0.len() {
            return Err(io::Error::other(format!("its output passes {MAX_OUTPUT_BYTES} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An error with its line and the errors behind it, in one line.
fn describe(error: Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(inner) = cause {
        text += &format!(": {inner}");
        cause = inner.source();
    }
    text
}
