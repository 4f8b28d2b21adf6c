//! The order of the rooms in src/lib.rs is law: a room imports itself and rooms above it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn rooms_import_only_rooms_above_them() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map = fs::read_to_string(src.join("lib.rs")).unwrap();
    let ranks: BTreeMap<&str, usize> = map
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .enumerate()
        .map(|(rank, room)| (room, rank))
        .collect();
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let mut imports = 0;
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let room = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let Some(rank) = ranks.get(room) else { continue }; // lib.rs and main.rs
        let text = fs::read_to_string(&file).unwrap();
        if text.contains("crate::{") && !text.contains("use crate::{") || text.contains("super::super") {
            wrong.push(format!("{}: an import that hides its room", inside.display()));
        }
        for used in rooms_used(&text) {
            imports += 1;
            match ranks.get(used.as_str()) {
                Some(other) if other <= rank => {}
                _ => wrong.push(format!("{}: crate::{used}", inside.display())),
            }
        }
    }
    assert!(imports > 10, "the test no longer sees the imports ({imports})");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The rooms named by `crate::room` and by the top level of `use crate::{room::.., room::{..}}`.
fn rooms_used(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        let rest = &text[at + "crate::".len()..];
        let Some(list) = rest.strip_prefix('{') else {
            rooms.push(word(rest));
            continue;
        };
        let mut depth = 0;
        let mut item = String::new();
        for c in list.chars() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => rooms.push(word(std::mem::take(&mut item).trim())),
                _ => {}
            }
            if depth == 0 && c != ',' {
                item.push(c);
            }
        }
        if !item.trim().is_empty() {
            rooms.push(word(item.trim()));
        }
    }
    rooms
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
