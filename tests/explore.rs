//! The browser of a tier without a terminal: keys in, screens out.

#[path = "support/listing.rs"]
mod listing;

use debstrata::evidence::explore::{Flow, Key, Look, Model, draw};
use listing::{hostile, small};
use ratatui::{Terminal, backend::TestBackend};

fn model() -> Model {
    Model::new("test/top amd64", small())
}

fn screen_of(model: &mut Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model, Look { colours: true })).unwrap();
    terminal.backend().to_string()
}

fn press(model: &mut Model, keys: &str) {
    for c in keys.chars() {
        let key = match c {
            '\n' => Key::Enter,
            '\t' => Key::Tab,
            '>' => Key::Right,
            '<' => Key::Left,
            'v' => Key::Down,
            '^' => Key::Up,
            '!' => Key::Escape,
            '~' => Key::Backspace,
            c => Key::Char(c),
        };
        assert_eq!(model.press(key), Flow::Go, "{c:?} of {keys:?}");
    }
}

#[test]
fn a_screen_of_80_by_24() {
    let mut model = model();
    press(&mut model, "v>v>");
    insta::assert_snapshot!(screen_of(&mut model, 80, 24));
}

#[test]
fn help_lies_on_top_and_any_key_ends_it() {
    let mut model = model();
    press(&mut model, "?");
    insta::assert_snapshot!(screen_of(&mut model, 80, 24));
    press(&mut model, "v");
    assert!(!screen_of(&mut model, 80, 24).contains("Keys"));
    assert_eq!(model.path(), "/", "the key did nothing else");
    press(&mut model, "?");
    assert_eq!(model.press(Key::Char('q')), Flow::Quit);
}

#[test]
fn keys_move() {
    for (keys, path) in [
        ("", "/"),
        ("v", "/usr"),
        ("^", "/"),
        ("vv", "/etc"),
        ("v>", "/usr"),
        ("v>v", "/usr/lib"),
        ("v>v>v", "/usr/lib/liblarge.so.1"),
        ("v>v>v<", "/usr/lib"),
        ("v>v><<", "/usr"),
        ("v>><<", "/usr"),
        ("v\nv", "/usr/lib"),
        ("v\n\nv", "/etc"),
        ("G", "/lib"),
        ("Gg", "/"),
        // By name, /etc comes first.
        ("sv", "/etc"),
    ] {
        let mut model = model();
        press(&mut model, keys);
        assert_eq!(model.path(), path, "{keys:?}");
    }
}

#[test]
fn a_search_opens_what_it_finds() {
    for (keys, path) in [
        ("/passwd\n", "/etc/passwd"),
        // Upper case is lower case; what is typed is looked for at once.
        ("/LIBLARGE", "/usr/lib/liblarge.so"),
        ("/liblarge\nn", "/usr/lib/liblarge.so.1"),
        ("/liblarge\nnn", "/usr/lib/liblarge.so"),
        ("/liblarge\nN", "/usr/lib/liblarge.so.1"),
        ("/passwx~d\n", "/etc/passwd"),
        ("v/nothing\n", "/usr"),
        ("v/passwd!", "/usr"),
        ("/q?\n", "/"),
    ] {
        let mut model = model();
        press(&mut model, keys);
        assert_eq!(model.path(), path, "{keys:?}");
    }
    let mut model = model();
    press(&mut model, "/liblarge\n");
    assert!(screen_of(&mut model, 80, 24).contains("2 paths with \"liblarge\""));
    press(&mut model, "!");
    assert!(screen_of(&mut model, 80, 24).contains("? help"));
}

#[test]
fn one_layer_alone() {
    let mut model = model();
    press(&mut model, "\tvv");
    let screen = screen_of(&mut model, 80, 24);
    assert!(screen.contains("Files of top by size"), "{screen}");
    assert!(screen.contains("usr") && !screen.contains("etc"), "{screen}");
    // A search stays inside the layer.
    press(&mut model, "/passwd\n");
    assert_eq!(model.path(), "/");
    press(&mut model, "!\t");
    assert!(screen_of(&mut model, 80, 24).contains("etc"));
}

#[test]
fn every_size_is_drawn_and_the_cursor_is_on_it() {
    for height in 1..40 {
        for width in [1, 20, 49, 50, 80, 200] {
            let mut model = model();
            press(&mut model, "v>v>/liblarge.so.1\n");
            let screen = screen_of(&mut model, width, height);
            assert!(width < 50 || height < 14 || screen.contains("liblarge.so"), "{width}x{height}\n{screen}");
        }
    }
}

#[test]
fn names_never_drive_the_terminal() {
    let mut model = Model::new("t", hostile());
    for _ in 0..8 {
        press(&mut model, ">v");
        let screen = screen_of(&mut model, 120, 30);
        assert!(!screen.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{screen}");
    }
    assert!(screen_of(&mut model, 120, 30).contains("\\u{1b}[2J"));
}

#[test]
fn any_keys_on_any_listing() {
    let keys = [
        Key::Up,
        Key::Down,
        Key::Left,
        Key::Right,
        Key::PageUp,
        Key::PageDown,
        Key::Home,
        Key::End,
        Key::Enter,
        Key::Tab,
        Key::Escape,
        Key::Backspace,
        Key::Char('/'),
        Key::Char('l'),
        Key::Char('s'),
        Key::Char('n'),
        Key::Char('N'),
        Key::Char(' '),
        Key::Char('?'),
        Key::Char('\u{1b}'),
    ];
    proptest::proptest!(|(pressed in proptest::collection::vec(0..keys.len(), 0..60), which in 0..3)| {
        let listing = match which { 0 => small(), 1 => hostile(), _ => Default::default() };
        let mut model = Model::new("t", listing);
        for key in pressed {
            model.press(keys[key]);
            screen_of(&mut model, 60, 16);
        }
    });
}
