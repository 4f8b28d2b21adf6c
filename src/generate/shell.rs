//! What a maintainer script would do on a first installation, read without running anything.
//!
//! A subset of the shell's grammar (POSIX.1-2024, XCU 2) is walked with `$1` as dpkg gives it and an
//! empty `$2` (Policy 6.5): variables, `if`, `case`, `for`, functions. A condition that cannot be told
//! is "maybe": both ways are walked. Substituted commands are unknown text. Nothing is ever executed.

mod parse;
mod walk;

pub(super) use walk::{Call, World, walk};

/// Why a script is not walked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable(pub(super) &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(script: &str) -> Vec<String> {
        let world = World {
            argument: "configure",
            architecture: "amd64",
            exists: &|path| path == b"/usr/share/x",
            account: &|name| name == "root",
        };
        let show = |call: &Call| {
            let words: Vec<_> = call.words.iter().map(|word| word.as_deref().unwrap_or("?")).collect();
            format!("{}{}", if call.maybe { "maybe " } else { "" }, words.join(" "))
        };
        match walk(script, &world) {
            Ok(calls) => calls.iter().map(show).collect(),
            Err(Unreadable(why)) => vec![format!("unreadable: {why}")],
        }
    }

    #[test]
    fn scripts_are_walked_as_on_a_first_installation() {
        for (script, expected) in [
            ("a b 'c d' \"e $x\"", vec!["a b c d e "]),
            ("# note\nx=1; y=${x}2\na $y ${z:-w} # no", vec!["a 12 w"]),
            ("if [ \"$1\" = configure ]; then a; elif b; then c; else d; fi", vec!["a"]),
            ("if [ -n \"$2\" ] && foo; then a; fi", vec![]),
            ("if foo; then a; else b; fi", vec!["foo", "maybe a", "maybe b"]),
            ("[ -e /usr/share/x ] || a\n[ -d /y ] || b", vec!["b"]),
            ("case \"$1\" in\n(configure|x) a ;;\nupgrade) b;;\n*) c\nesac", vec!["a"]),
            ("for i in a b\ndo c $i; done", vec!["c a", "c b"]),
            ("l='a  b'; for i in $l; do c $i.d; done", vec!["c a.d", "c b.d"]),
            ("for i in $(ls); do c $i; done", vec!["maybe c ?"]),
            ("f () { g \"$1\"; }\nf h\nf i", vec!["g h", "g i"]),
            ("f() {\n f\n}\nf", vec![]),
            ("cat > /etc/x <<-EOF\n\tif then (\n\tEOF\na", vec!["cat", "a"]),
            ("a \\\n  --b \\\n  c\n", vec!["a --b c"]),
            ("s=\"--slave \\\n a b\"; a $s", vec!["a --slave a b"]),
            ("a 2>/dev/null >&2 || true", vec!["a"]),
            ("a | b && c", vec!["a", "b", "maybe c"]),
            ("if dpkg --compare-versions \"$2\" lt-nl 1.0; then a; fi; b", vec!["b"]),
            ("exit 0\na", vec![]),
            ("while read x; do a $x; done", vec!["read x", "maybe a ?"]),
            ("(a; b)", vec!["a", "b"]),
            ("if a; then", vec!["unreadable: a word such as `fi` is missing"]),
            ("a \"b", vec!["unreadable: a quote has no end"]),
            ("x=`a`; b $x", vec!["b ?"]),
            ("if [ \"$(uname -s)\" = Linux ]; then a; fi", vec!["a"]),
            ("getent passwd root >/dev/null || a\nif ! id -u me; then b; fi", vec!["b"]),
            ("echo x > /etc/y; echo z >&2; { a; } > /b", vec!["echo x", "a", ""]),
            ("a \\", vec!["a \\"]),
            ("while true; do a; done", vec!["maybe a"]),
        ] {
            assert_eq!(calls(script), expected, "{script}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_walked_or_refused(text in "([a-z$(){};|&<>'\"`\\\\ \n=#]|if |then |fi |for |in |do |done |case |esac ){0,60}") {
            let _ = calls(&text);
        }
    }

    #[test]
    fn deep_and_endless_scripts_end() {
        assert_eq!(calls(&"( ".repeat(100_000)), ["unreadable: it nests too deeply"]);
        let doubling = format!("x='a a a a a a a a a a'\n{}", "x=\"$x $x\"\n".repeat(60));
        assert!(calls(&doubling).is_empty());
        let nested = "for i in 1 2 3 4 5 6 7 8 9; do ".repeat(20) + "a" + &"; done".repeat(20);
        assert_eq!(calls(&nested), ["unreadable: it has too many steps"]);
        // No bound of its own: what is long is walked without going deeper.
        assert!(calls(&("true".to_owned() + &" && true".repeat(40_000))).is_empty());
        assert_eq!(calls(&("a".to_owned() + &" || a".repeat(40_000))).len(), 40_001);
        for words in [" -o a", " -a a", " !"] {
            let long = format!("if [ a{} ]; then b; fi", words.repeat(50_000));
            assert_eq!(calls(&long), ["maybe b"], "{words}");
        }
    }

    #[test]
    fn few_commands_with_much_in_them_end() {
        let many = |word: &str, times| format!("{word} ").repeat(times);
        let long = "x=aaaaaaaaaaaaaaaa\n".to_owned() + &"x=\"$x$x\"\n".repeat(12);
        for script in [
            format!("{long}y=\"{}\"", many("$x", 20_000)),
            format!("{long}foo {}", many("$x", 20_000)),
            format!("for i in {}; do for j in {}; do break; done; done", many("1", 9_000), many("a", 9_000)),
            format!("for i in {}; do foo {}; done", many("1", 9_000), many("abc", 9_000)),
            format!("for i in {}; do x={}; done", many("1", 9_000), "a".repeat(50_000)),
            format!("for i in {}; do case a in {}) ;; esac; done", many("1", 9_000), "b | ".repeat(9_000) + "c"),
        ] {
            assert_eq!(calls(&script), ["unreadable: it has too many steps"], "{}", &script[..60]);
        }
        // A function is called, not copied.
        let called =
            format!("f() {{ if false; then {} fi; }}\nfor i in {}; do f; done", many("a b;", 20_000), many("1", 4_000));
        assert!(calls(&called).is_empty());
    }
}
