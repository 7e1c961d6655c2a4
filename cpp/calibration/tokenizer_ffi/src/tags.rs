//! A look at the tags of a template before the engine compiles it.

/// Bytes of one tag outside of string literals. The engine's compiler recurses, and in places takes quadratic time,
/// over the operators of one expression.
const MAX_TAG_CODE: usize = 4096;

/// The template with `{% generation %}` blocks, which mark the assistant's words for training and print their body,
/// replaced by blocks that the engine knows. Fails on a tag that is too large to compile in bounded time.
pub fn prepare(source: &str) -> Result<String, String> {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{%").into_iter().chain(rest.find("{{")).chain(rest.find("{#")).min() {
        let (text, tag) = rest.split_at(start);
        out += text;
        let (length, code) = measure(tag);
        if code > MAX_TAG_CODE {
            let line = source[..source.len() - tag.len()].matches('\n').count() + 1;
            return Err(format!("the tag in line {line} has more than {MAX_TAG_CODE} bytes of code"));
        }
        out += &known_block(&tag[..length]);
        rest = &tag[length..];
    }
    Ok(out + rest)
}

/// Length of the tag or comment that `tag` begins with, and how much of it is code.
fn measure(tag: &str) -> (usize, usize) {
    let bytes = tag.as_bytes();
    let end: &[u8] = match bytes[1] {
        b'#' => return (tag.find("#}").map_or(tag.len(), |at| at + 2), 0),
        b'%' => b"%}",
        _ => b"}}",
    };
    let (mut at, mut code, mut depth) = (2, 0, 0usize);
    let mut quote = None;
    while at < bytes.len() {
        let byte = bytes[at];
        match quote {
            Some(_) if byte == b'\\' => at += 1,
            Some(mark) if byte == mark => quote = None,
            Some(_) => {}
            None if depth == 0 && bytes[at..].starts_with(end) => return (at + 2, code),
            None => {
                code += 1;
                match byte {
                    b'"' | b'\'' => quote = Some(byte),
                    b'(' | b'[' | b'{' => depth += 1,
                    b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
            }
        }
        at += 1;
    }
    (tag.len(), code)
}

fn known_block(tag: &str) -> String {
    match tag.trim_matches(|c: char| "{%}+-".contains(c) || c.is_whitespace()) {
        "generation" => tag.replace("generation", "if true"),
        "endgeneration" => tag.replace("endgeneration", "endif"),
        _ => tag.to_string(),
    }
}
