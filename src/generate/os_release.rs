//! /usr/lib/os-release (os-release(5)): `KEY="value"` lines in the manifest's order, every value
//! quoted. It takes the place of the file of base-files; /etc/os-release is a link to it there.

use super::{GenerateError, Made, Request};

const PATH: &str = "/usr/lib/os-release";

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    let Some(fields) = &request.wish.os_release else { return Ok(Vec::new()) };
    let mut text = String::new();
    for (key, value) in &fields.value {
        let refuse = |what, why| GenerateError::Value {
            source_code: request.source.clone(),
            span: fields.span.clone().into(),
            what,
            path: PATH,
            why,
        };
        if !is_key(key) {
            return Err(refuse(format!("the field {key:?}"), "a field's name has only A-Z, 0-9 and _"));
        }
        if value.chars().any(char::is_control) {
            return Err(refuse(format!("the field {key}"), "its value has a line break or another control character"));
        }
        text.push_str(key);
        text.push_str("=\"");
        for c in value.chars() {
            // os-release(5): "shell special characters" take a backslash.
            if matches!(c, '"' | '$' | '\\' | '`') {
                text.push('\\');
            }
            text.push(c);
        }
        text.push_str("\"\n");
    }
    Ok(vec![Made::new(PATH, text.into_bytes())])
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with(|c: char| c.is_ascii_digit())
        && key.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}
