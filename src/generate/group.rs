//! /etc/group (group(5)), whole: the groups of the chain, parents' first.

use super::{GenerateError, Made, Request};

const PATH: &str = "/etc/group";

pub(super) fn make(request: &Request<'_>) -> Result<Vec<Made>, GenerateError> {
    if !request.declares_groups {
        return Ok(Vec::new());
    }
    let mut text = String::new();
    for group in &request.accounts.groups {
        let odd = |name: &str| name.contains([':', ',', '\n', '\0']);
        if odd(&group.name) || group.members.iter().any(|member| odd(member)) {
            return Err(GenerateError::Value {
                source_code: request.source.clone(),
                span: group.span.clone().into(),
                what: format!("the group {:?}", group.name),
                path: PATH,
                why: "names may have no colon, no comma and no line break",
            });
        }
        text.push_str(&format!("{}:x:{}:{}\n", group.name, group.gid, group.members.join(",")));
    }
    Ok(vec![Made::new(PATH, text.into_bytes())])
}
