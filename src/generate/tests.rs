use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::{
    ground::Spanned,
    manifest::{CaCertificates, Generate, Group, User},
    rootfs::{Attributes, LinkGroup, Node},
    unpack::Item,
};

fn name(name: &str, architecture: &str) -> PackageName {
    PackageName { name: name.into(), version: "1".into(), architecture: architecture.into() }
}

fn file(path: &str, text: &str) -> Item {
    Item {
        path: RootPath::from_absolute(path.as_bytes()).unwrap(),
        attributes: Attributes::new(0o644, 0, 0),
        node: Node::File { content: Content::from_bytes(text.as_bytes()), group: None::<LinkGroup> },
    }
}

fn unpacked(control: &[(&str, &str)], entries: Vec<Item>) -> Unpacked {
    let control: BTreeMap<Box<str>, Arc<[u8]>> =
        control.iter().map(|(name, text)| ((*name).into(), text.as_bytes().into())).collect();
    Unpacked { control, entries }
}

fn user(name: &str, uid: u32, home: Option<&str>) -> User {
    User {
        span: 0..4,
        name: name.into(),
        uid,
        gid: uid,
        gecos: name.into(),
        home: home.map(|home| RootPath::from_absolute(home.as_bytes()).unwrap()),
        home_mode: 0o700,
        shell: "/sbin/nologin".into(),
    }
}

struct Case {
    wish: Generate,
    packages: Vec<(PackageName, Unpacked)>,
    accounts: Accounts,
    declares: bool,
}

impl Default for Case {
    fn default() -> Self {
        let wish = Generate { dpkg_status: false, ..Generate::default() };
        Self { wish, packages: Vec::new(), accounts: Accounts::default(), declares: false }
    }
}

impl Case {
    fn make(&self, generator: &str) -> Result<Vec<Made>, GenerateError> {
        let source = Source::new("t.toml", "text of a manifest");
        let packages: Vec<_> = self.packages.iter().map(|(name, unpacked)| Package { name, unpacked }).collect();
        let effects = scripts::effects(&packages, "amd64".parse().unwrap(), &Rootfs::default(), &self.accounts);
        let generator = GENERATORS.iter().find(|row| row.name == generator).unwrap();
        (generator.make)(&Request {
            source: &source,
            wish: &self.wish,
            architecture: "amd64".parse().unwrap(),
            packages: &packages,
            rootfs: &Rootfs::default(),
            accounts: &self.accounts,
            declares_users: self.declares,
            declares_groups: self.declares,
            effects: &effects,
            inherited_choices: &[],
        })
    }

    /// What it made, as `path: text`.
    fn texts(&self, generator: &str) -> BTreeMap<String, String> {
        let text = |content: &Content| {
            let mut bytes = vec![0; content.size as usize];
            content.read_at(0, &mut bytes).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let made = self.make(generator).unwrap();
        let texts = made.iter().map(|made| match &made.node {
            Node::File { content, .. } => (made.path.to_string(), text(content)),
            Node::Symlink(target) => (made.path.to_string(), format!("-> {}", String::from_utf8_lossy(target))),
            Node::Directory => (made.path.to_string(), made.attributes.to_string()),
        });
        texts.collect()
    }
}

fn one(path: &str, text: &str) -> BTreeMap<String, String> {
    [(path.to_owned(), text.to_owned())].into()
}

#[test]
fn the_list_is_sorted_and_nothing_is_made_unasked() {
    assert!(GENERATORS.is_sorted_by(|one, other| one.name < other.name));
    for generator in &GENERATORS {
        let mut case = Case::default();
        assert_eq!(case.make(generator.name).unwrap(), [], "{}", generator.name);
        case.packages = vec![(name("a", "all"), unpacked(&[], vec![]))];
        assert_eq!(case.make(generator.name).unwrap(), [], "{}", generator.name);
    }
}

#[test]
fn the_bundle_walks_folders_in_byte_order_and_ends_every_line() {
    let mut case = Case::default();
    case.wish.ca_certificates = Some(Spanned::new(CaCertificates::Bundle, 0..4));
    let folder = "/usr/share/ca-certificates";
    case.packages = vec![(
        name("ca-certificates", "all"),
        unpacked(
            &[],
            vec![
                file(&format!("{folder}/m-x/a.crt"), "4\n"),
                file(&format!("{folder}/m/Főtan.crt"), "3\n"),
                file(&format!("{folder}/m/B.crt"), "1"),
                file(&format!("{folder}/m/empty.crt"), ""),
                file(&format!("{folder}/m/a.crt"), "2\r\n\n"),
                file("/usr/share/ca-certificates-java/x", "no"),
                file("/usr/sbin/update-ca-certificates", "no"),
            ],
        ),
    )];
    // B < F < a < e, and the folder m before m-x although "m-x/" < "m/" as bytes.
    assert_eq!(case.texts("ca-certificates"), one("/etc/ssl/certs/ca-certificates.crt", "1\n3\n2\r\n\n4\n"));
}

#[test]
fn the_bundle_needs_its_package_and_plain_files() {
    let mut case = Case::default();
    case.wish.ca_certificates = Some(Spanned::new(CaCertificates::Bundle, 0..4));
    assert!(matches!(case.make("ca-certificates"), Err(GenerateError::NoCaCertificates { .. })));
    let mut link = file("/usr/share/ca-certificates/x.crt", "");
    link.node = Node::Symlink(b"/etc/passwd".as_slice().into());
    case.packages = vec![(name("ca-certificates", "all"), unpacked(&[], vec![link]))];
    assert!(matches!(case.make("ca-certificates"), Err(GenerateError::OddCertificate { .. })));
}

#[test]
fn os_release_quotes_every_value() {
    let mut case = Case::default();
    let fields = [("NAME", "Debian GNU/Linux"), ("ID", "debian"), ("VERSION_ID", r#"a"b$c\d`e"#)];
    let fields = fields.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    case.wish.os_release = Some(Spanned::new(fields, 0..4));
    let text = "NAME=\"Debian GNU/Linux\"\nID=\"debian\"\nVERSION_ID=\"a\\\"b\\$c\\\\d\\`e\"\n";
    assert_eq!(case.texts("os-release"), one("/usr/lib/os-release", text));
    for (key, value) in [("name", "x"), ("", "x"), ("1A", "x"), ("A=B", "x"), ("NAME", "a\nb")] {
        case.wish.os_release = Some(Spanned::new(vec![(key.into(), value.into())], 0..4));
        assert!(matches!(case.make("os-release"), Err(GenerateError::Value { .. })), "{key}={value}");
    }
}

#[test]
fn status_d_is_verbatim_and_tells_architectures_apart() {
    let mut case = Case::default();
    case.wish.dpkg_status = true;
    case.packages = vec![
        (name("libc6", "amd64"), unpacked(&[("control", "Package: libc6\n"), ("md5sums", "0  x\n")], vec![])),
        (name("tzdata", "all"), unpacked(&[("control", "Package: tzdata"), ("postinst", "#!")], vec![])),
        (name("libc6", "i386"), unpacked(&[("control", "i386"), ("md5sums", "1  x\n")], vec![])),
    ];
    let expected = [
        ("/var/lib/dpkg/status.d/libc6", "Package: libc6\n"),
        ("/var/lib/dpkg/status.d/libc6.md5sums", "0  x\n"),
        ("/var/lib/dpkg/status.d/tzdata", "Package: tzdata"),
        ("/var/lib/dpkg/status.d/libc6:i386", "i386"),
        ("/var/lib/dpkg/status.d/libc6:i386.md5sums", "1  x\n"),
    ];
    assert_eq!(case.texts("dpkg-status"), expected.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
    for (name, members) in [(name("x", "all"), vec![]), (name("../x", "all"), vec![("control", "")])] {
        case.packages = vec![(name, unpacked(&members, vec![]))];
        assert!(matches!(case.make("dpkg-status"), Err(GenerateError::Status { .. })));
    }
}

#[test]
fn accounts_are_written_whole_parents_first() {
    let parent = Accounts {
        users: vec![user("root", 0, Some("/root")), user("nobody", 65534, None)],
        groups: vec![Group { span: 0..4, name: "root".into(), gid: 0, members: vec![] }],
    };
    let mut again = user("nobody", 65534, None);
    again.gecos = "again".into();
    let staff = Group { span: 0..4, name: "staff".into(), gid: 50, members: vec!["a".into(), "b".into()] };
    let accounts = parent.with(&[again, user("a", 1, Some("/home/a"))], &[staff]);
    let mut case = Case { accounts, declares: true, ..Case::default() };
    let passwd = "root:x:0:0:root:/root:/sbin/nologin\n\
                  nobody:x:65534:65534:again:/nonexistent:/sbin/nologin\n\
                  a:x:1:1:a:/home/a:/sbin/nologin\n";
    assert_eq!(case.texts("passwd"), one("/etc/passwd", passwd));
    assert_eq!(case.texts("group"), one("/etc/group", "root:x:0:\nstaff:x:50:a,b\n"));
    case.accounts.users[0].gecos = "a:b".into();
    assert!(matches!(case.make("passwd"), Err(GenerateError::Value { .. })));
    case.accounts.groups[0].members = vec!["a,b".into()];
    assert!(matches!(case.make("group"), Err(GenerateError::Value { .. })));
}
