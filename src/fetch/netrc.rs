//! Logins kept beside the sources: apt_auth.conf(5) and netrc(5) files.

use super::uri::{Login, Scheme, Uri, split_port};

/// One `machine` of such a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    /// `None`: https alone.
    scheme: Option<String>,
    host: String,
    port: Option<u16>,
    path: String,
    login: Login,
}

/// Reads a file's text. Unknown tokens are skipped, as apt does; a machine without a login is none.
pub(super) fn parse(text: &str) -> Vec<Machine> {
    let mut machines = Vec::new();
    let mut current: Option<Machine> = None;
    let mut words = text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    while let Some(word) = words.next() {
        match word {
            "machine" => {
                machines.extend(current.take());
                current = words.next().and_then(machine);
            }
            // netrc(5): matches any host. apt does not know it, and neither do we.
            "default" => machines.extend(current.take()),
            "login" | "password" => {
                let value = words.next().unwrap_or_default();
                if let Some(machine) = &mut current {
                    let field = if word == "login" { &mut machine.login.user } else { &mut machine.login.password };
                    *field = value.to_owned();
                }
            }
            _ => {}
        }
    }
    machines.extend(current);
    machines.retain(|machine| !machine.login.user.is_empty() || !machine.login.password.is_empty());
    machines
}

fn machine(word: &str) -> Option<Machine> {
    let (scheme, rest) = match word.split_once("://") {
        None => (None, word),
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = split_port(host)?;
    let login = Login { user: String::new(), password: String::new() };
    Some(Machine { scheme, host: host.to_ascii_lowercase(), port, path: path.to_owned(), login })
}

/// The login of the first machine that matches.
pub(super) fn login<'a>(machines: &'a [Machine], uri: &Uri) -> Option<&'a Login> {
    machines.iter().find(|machine| machine.matches(uri)).map(|machine| &machine.login)
}

impl Machine {
    fn matches(&self, uri: &Uri) -> bool {
        let scheme = match &self.scheme {
            None => uri.scheme == Scheme::Https,
            Some(scheme) => scheme == uri.scheme.name(),
        };
        scheme
            && self.host == uri.host
            // Compared as written: `machine h:443` does not match `https://h/`.
            && self.port.is_none_or(|port| uri.port == Some(port))
            && uri.path().starts_with(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(file: &str, uri: &str) -> Option<String> {
        let machines = parse(file);
        login(&machines, &Uri::parse(uri).unwrap()).map(|login| format!("{}:{}", login.user, login.password))
    }

    #[test]
    fn the_manual_page_s_examples() {
        let uri = "https://example.org/debian/dists/x";
        for (machine, matches) in [
            ("example.org", true),
            ("example.org/deb", true),
            ("example.org/debian", true),
            ("example.org/debian/", true),
            ("https://example.org", true),
            ("example.org:443", false),
            ("example.org/deb/", false),
            ("example.org/ubuntu", false),
            ("example.orga", false),
            ("example.net", false),
            ("http://example.org", false),
        ] {
            let file = format!("machine {machine} login apt password debian\n");
            assert_eq!(found(&file, uri).is_some(), matches, "{machine}");
        }
    }

    #[test]
    fn layouts() {
        let file = "# a comment\nmachine a.example.org\n\tlogin me\n  password one\naccount x\n\
                    machine b.example.org password two login you\ndefault login any password three\n\
                    machine http://c.example.org:8080 login c password four\nmachine d.example.org\n";
        for (uri, login) in [
            ("https://a.example.org/x", Some("me:one")),
            ("http://a.example.org/x", None),
            ("https://B.example.org:8443/x", Some("you:two")),
            ("http://c.example.org:8080/x", Some("c:four")),
            ("http://c.example.org/x", None),
            ("https://d.example.org/x", None),
            ("https://e.example.org/x", None),
        ] {
            assert_eq!(found(file, uri).as_deref(), login, "{uri}");
        }
    }
}
