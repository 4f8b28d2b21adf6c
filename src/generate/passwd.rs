//! /etc/passwd (passwd(5)), whole: the users of the chain, parents' first.

use super::{GenerateError, Made, Request};

const PATH: &str = "/etc/passwd";

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    if !request.declares_users {
        return Ok(Vec::new());
    }
    let mut text = String::new();
    for user in &request.accounts.users {
        let home = user.home.as_ref().map_or_else(|| b"/nonexistent".to_vec(), |home| [b"/", home.as_bytes()].concat());
        let home = String::from_utf8(home).ok();
        let parts = [Some(user.name.as_str()), Some(&user.gecos), home.as_deref(), Some(&user.shell)];
        let [Some(name), Some(gecos), Some(home), Some(shell)] =
            parts.map(|part| part.filter(|part| !part.contains([':', '\n', '\0'])))
        else {
            return Err(GenerateError::Value {
                source_code: request.source.clone(),
                span: user.span.clone().into(),
                what: format!("the user {:?}", user.name),
                path: PATH,
                why: "name, gecos, home and shell may have no colon and no line break",
            });
        };
        text.push_str(&format!("{name}:x:{}:{}:{gecos}:{home}:{shell}\n", user.uid, user.gid));
    }
    Ok(vec![Made::new(PATH, text.into_bytes())])
}
