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
    rootfs: Rootfs,
}

impl Default for Case {
    fn default() -> Self {
        let wish = Generate { dpkg_status: false, ..Generate::default() };
        Self { wish, packages: Vec::new(), accounts: Accounts::default(), declares: false, rootfs: Rootfs::default() }
    }
}

impl Case {
    fn make(&self, generator: &str) -> Result<Vec<Made>, GenerateError> {
        let source = Source::new("t.toml", "text of a manifest");
        let packages: Vec<_> = self.packages.iter().map(|(name, unpacked)| Package { name, unpacked }).collect();
        let effects = scripts::effects(&packages, "amd64".parse().unwrap(), &self.rootfs, &self.accounts);
        let generator = GENERATORS.iter().find(|row| row.name == generator).unwrap();
        (generator.make)(&Request {
            source: &source,
            wish: &self.wish,
            architecture: "amd64".parse().unwrap(),
            packages: &packages,
            rootfs: &self.rootfs,
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

/// C=DE, O="  Größe,  Ltd. " in UTF-8, CN="#Test CA+1"; made by openssl for this test.
const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
    MIIB0jCCAXegAwIBAgIULYajEAHMVC2b1gfIUN88tVMJhqYwCgYIKoZIzj0EAwIw\n\
    PjELMAkGA1UEBhMCREUxGjAYBgNVBAoMESAgR3LDtsOfZSwgIEx0ZC4gMRMwEQYD\n\
    VQQDDAojVGVzdCBDQSsxMB4XDTI2MTEyMzE4NTk1MVoXDTM2MTEyMDE4NTk1MVow\n\
    PjELMAkGA1UEBhMCREUxGjAYBgNVBAoMESAgR3LDtsOfZSwgIEx0ZC4gMRMwEQYD\n\
    VQQDDAojVGVzdCBDQSsxMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUXFmivIQ\n\
    pOHzb5QF3KiItkzfwEQtKsR+Fe6YWvf6/SSxSFzUv4wdjQahd8/3eO4vIFaYookM\n\
    Pox5G+5NH6Ut2KNTMFEwHQYDVR0OBBYEFLkdL9p+vfzM5cSGoD610efb9RBNMB8G\n\
    A1UdIwQYMBaAFLkdL9p+vfzM5cSGoD610efb9RBNMA8GA1UdEwEB/wQFMAMBAf8w\n\
    CgYIKoZIzj0EAwIDSQAwRgIhAJfiKyve2AA09BmF6ZBmy+rXqw9FzFo9Nk+S+0rF\n\
    cPhaAiEAqMjdmLB6g/rGbHSCIPF8VNX0qSZh+oxHu3y0w1dZOp4=\n\
    -----END CERTIFICATE-----\n";

/// What puts certificates of one's own into the tree.
fn own(path: &str, text: &str) -> (RootPath, crate::rootfs::Entry) {
    let path = RootPath::from_absolute(format!("/usr/local/share/ca-certificates/{path}").as_bytes()).unwrap();
    let origin = crate::rootfs::Origin::Declared { tier: "t".into(), key: "files", span: 0..4 };
    let node = Node::File { content: Content::from_bytes(text.as_bytes()), group: None };
    (path, crate::rootfs::Entry { node, attributes: Attributes::new(0o644, 0, 0), origin })
}

#[test]
fn certificates_of_ones_own_stand_at_the_end_of_the_bundle() {
    let mut case = with_certificate(CaCertificates::Bundle);
    case.packages[0].1.entries = vec![file("/usr/share/ca-certificates/a.crt", "first\n")];
    let before = CERTIFICATE.trim_end();
    case.rootfs.entries.extend([own("b/x.crt", before), own("b-a.crt", CERTIFICATE), own("README", "no")]);
    let bundle = "/etc/ssl/certs/ca-certificates.crt";
    assert_eq!(case.texts("ca-certificates"), one(bundle, &format!("first\n{CERTIFICATE}")), "each once");

    // A child tier has the tree of its parents, and not the package.
    case.packages.clear();
    let (_, mut inherited) = own("x", "inherited\n");
    case.rootfs.entries.insert(RootPath::from_absolute(bundle.as_bytes()).unwrap(), inherited.clone());
    assert_eq!(case.texts("ca-certificates"), one(bundle, &format!("inherited\n{CERTIFICATE}")));
    case.wish.java_keystore = Some(Spanned::new(true, 0..4));
    let keystore = case.make("java-keystore").unwrap();
    inherited = own("x", CERTIFICATE).1;
    case.rootfs.entries.insert(RootPath::from_absolute(bundle.as_bytes()).unwrap(), inherited);
    assert_eq!(case.texts("ca-certificates"), one(bundle, CERTIFICATE), "nothing is repeated");
    assert_eq!(case.make("java-keystore").unwrap(), keystore, "text that is no certificate is none");
    case.wish.ca_certificates = None;
    assert_eq!(case.texts("ca-certificates"), BTreeMap::new(), "nobody asked");

    case.wish.ca_certificates = Some(Spanned::new(CaCertificates::Hashed, 0..4));
    case.rootfs.entries = [own("my ca.crt", CERTIFICATE)].into();
    let expected = [
        (bundle.to_owned(), CERTIFICATE.to_owned()),
        ("/etc/ssl/certs/d7afcff8.0".into(), "-> my_ca.pem".into()),
        ("/etc/ssl/certs/my_ca.pem".into(), "-> /usr/local/share/ca-certificates/my ca.crt".into()),
    ];
    assert_eq!(case.texts("ca-certificates"), expected.into());

    for odd in ["", "\u{30}\u{82}", "-----BEGIN CERTIFICATE-----\nAAAA"] {
        case.rootfs.entries = [own("x.crt", odd)].into();
        assert!(matches!(case.make("ca-certificates"), Err(GenerateError::NoPem { .. })), "{odd}");
        assert!(matches!(case.make("java-keystore"), Err(GenerateError::NoPem { .. })), "{odd}");
    }
}

fn with_certificate(form: CaCertificates) -> Case {
    let mut case = Case::default();
    case.wish.ca_certificates = Some(Spanned::new(form, 0..4));
    let folder = "/usr/share/ca-certificates/mozilla";
    let files = vec![
        file(&format!("{folder}/Größe (A, B).crt"), CERTIFICATE),
        file(&format!("{folder}/again.crt"), CERTIFICATE),
        file(&format!("{folder}/two.crt"), &CERTIFICATE.repeat(2)),
    ];
    case.packages = vec![(name("ca-certificates", "all"), unpacked(&[], files))];
    case
}

#[test]
fn hashed_certificates_have_the_links_of_update_ca_certificates() {
    let bundle = ("/etc/ssl/certs/ca-certificates.crt".to_owned(), CERTIFICATE.repeat(4));
    assert_eq!(with_certificate(CaCertificates::Bundle).texts("ca-certificates"), [bundle.clone()].into());
    let to = |name: &str| format!("-> /usr/share/ca-certificates/mozilla/{name}");
    // `openssl x509 -subject_hash` says d7afcff8; a file of two certificates gets no hash.
    let expected = [
        bundle,
        ("/etc/ssl/certs/Größe_=A__B=.pem".into(), to("Größe (A, B).crt")),
        ("/etc/ssl/certs/again.pem".into(), to("again.crt")),
        ("/etc/ssl/certs/d7afcff8.0".into(), "-> Größe_=A__B=.pem".into()),
        ("/etc/ssl/certs/d7afcff8.1".into(), "-> again.pem".into()),
        ("/etc/ssl/certs/two.pem".into(), to("two.crt")),
    ];
    assert_eq!(with_certificate(CaCertificates::Hashed).texts("ca-certificates"), expected.into());
    let mut case = with_certificate(CaCertificates::Off);
    assert_eq!(case.texts("ca-certificates"), BTreeMap::new());
    for odd in ["-----BEGIN CERTIFICATE-----\nAAAA", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        case.wish.ca_certificates = Some(Spanned::new(CaCertificates::Hashed, 0..4));
        case.packages[0].1.entries = vec![file("/usr/share/ca-certificates/x.crt", odd)];
        assert!(matches!(case.make("ca-certificates"), Err(GenerateError::Certificates { .. })), "{odd}");
    }
}

#[test]
fn the_keystore_of_a_certificate_is_fixed_to_the_byte() {
    let mut case = with_certificate(CaCertificates::Bundle);
    case.packages[0].1.entries = vec![file("/usr/share/ca-certificates/x.crt", CERTIFICATE)];
    assert_eq!(case.make("java-keystore").unwrap(), [], "nobody asked");
    case.wish.java_keystore = Some(Spanned::new(true, 0..4));
    let made = case.make("java-keystore").unwrap();
    let [Made { path, node: Node::File { content, .. }, .. }] = made.as_slice() else { panic!("{made:?}") };
    assert_eq!(path.to_string(), "/etc/ssl/certs/java/cacerts");
    let mut bytes = vec![0; content.size as usize];
    content.read_at(0, &mut bytes).unwrap();
    // X500Principal.getName(CANONICAL) of it.
    let alias = "cn=\\#test ca\\+1,o=gro\u{308}sse\\, ltd.,c=de";
    assert!(bytes.windows(alias.len()).any(|part| part == alias.as_bytes()));
    assert_eq!(content.sha256.to_string(), "84383bb96be89df6f0323b8f37a6193901f1f5f1611d362374e839210f5ae8d8");
    // ca-certificates-java asks for it too, and `false` goes first.
    case.packages.push((name("ca-certificates-java", "all"), unpacked(&[], vec![])));
    case.wish.java_keystore = None;
    assert_eq!(case.make("java-keystore").unwrap(), made);
    case.wish.java_keystore = Some(Spanned::new(false, 0..4));
    assert_eq!(case.make("java-keystore").unwrap(), []);
    case.wish.java_keystore = Some(Spanned::new(true, 0..4));
    case.packages.remove(0);
    assert!(matches!(case.make("java-keystore"), Err(GenerateError::NoCaCertificates { .. })));
}

#[test]
fn locales_are_those_of_libc_bin() {
    let mut case = Case::default();
    let wish = |name: &str| Some(vec![Spanned::new(name.to_owned(), 0..4)]);
    let files = ["LC_CTYPE", "LC_MESSAGES/SYS_LC_MESSAGES"].map(|at| file(&format!("/usr/lib/locale/C.utf8/{at}"), at));
    case.packages = vec![(name("libc-bin", "amd64"), unpacked(&[], files.to_vec()))];
    case.wish.locales = wish("C.utf8");
    let expected = [
        ("/usr/lib/locale/C.utf8/LC_CTYPE", "LC_CTYPE"),
        ("/usr/lib/locale/C.utf8/LC_MESSAGES/SYS_LC_MESSAGES", "LC_MESSAGES/SYS_LC_MESSAGES"),
    ];
    assert_eq!(case.texts("locales"), expected.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
    for absent in ["de_DE.UTF-8", "..", "C.utf8/LC_CTYPE", "", "."] {
        case.wish.locales = wish(absent);
        assert!(matches!(case.make("locales"), Err(GenerateError::NoLocale { .. })), "{absent}");
    }
    case.packages.clear();
    case.wish.locales = wish("C.utf8");
    assert!(matches!(case.make("locales"), Err(GenerateError::NoLocale { .. })));
}

/// A tree with these files and the folders above them.
fn tree(files: &[&str]) -> Rootfs {
    let mut rootfs = Rootfs::default();
    for at in files {
        let Item { path, attributes, node } = file(at, "");
        let origin = crate::rootfs::Origin::Implied;
        path.ancestors().for_each(|above| drop(rootfs.entries.insert(above, crate::rootfs::Entry::implied())));
        rootfs.entries.insert(path, crate::rootfs::Entry { node, attributes, origin });
    }
    rootfs
}

#[test]
fn the_time_zone_is_one_of_the_tree() {
    let mut case = Case { rootfs: tree(&["/usr/share/zoneinfo/Europe/Berlin"]), ..Case::default() };
    case.wish.timezone = Some(Spanned::new("Europe/Berlin".to_owned(), 0..4));
    let expected = [("/etc/localtime", "-> /usr/share/zoneinfo/Europe/Berlin"), ("/etc/timezone", "Europe/Berlin\n")];
    assert_eq!(case.texts("timezone"), expected.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
    for absent in ["Europe/Paris", "../zoneinfo/Europe/Berlin", "", "Europe", "Europe/Berlin\nx"] {
        case.wish.timezone = Some(Spanned::new(absent.to_owned(), 0..4));
        assert!(matches!(case.make("timezone"), Err(GenerateError::NoZone { .. })), "{absent}");
    }
}

#[test]
fn lines_of_tmpfiles_d_make_what_is_not_there_or_are_refused() {
    let case = |line: &str| Case {
        packages: vec![(name("x", "all"), unpacked(&[], vec![file("/usr/lib/tmpfiles.d/x.conf", line)]))],
        rootfs: tree(&["/srv/there"]),
        ..Case::default()
    };
    let refused = |case: &Case| {
        let packages: Vec<_> = case.packages.iter().map(|(name, unpacked)| Package { name, unpacked }).collect();
        let effects = scripts::effects(&packages, "amd64".parse().unwrap(), &case.rootfs, &case.accounts);
        effects.items.iter().any(|item| item.effect == scripts::Effect::Unhandled)
    };
    for (line, made) in [
        ("d /srv/x", ("/srv/x", "0755 0:0")),
        ("d /srv/x/ 0750 www-data adm 10d -", ("/srv/x", "0750 33:4")),
        ("D /srv/x 1777 - - 10d", ("/srv/x", "1777 0:0")),
        ("q /srv/x :0700 :root :root", ("/srv/x", "0700 0:0")),
        ("Q /srv/x", ("/srv/x", "0755 0:0")),
        ("v /srv/x - 1 2", ("/srv/x", "0755 1:2")),
        ("d$ /srv/x", ("/srv/x", "0755 0:0")),
        ("d /var/run/x", ("/run/x", "0755 0:0")),
        ("f /srv/x", ("/srv/x", "")),
        ("f+ /srv/x 0600 - - - some words", ("/srv/x", "some words")),
        ("L /srv/x - - - - ../y", ("/srv/x", "-> ../y")),
        ("L+? /srv/x - - - - /y", ("/srv/x", "-> /y")),
    ] {
        let case = case(line);
        assert_eq!(case.texts("tmpfiles"), one(made.0, made.1), "{line}");
        assert!(!refused(&case), "{line}");
    }
    for nothing in [
        "",
        "# note",
        "d! /srv/x",
        "x /srv/x",
        "X /srv/x",
        "r /srv/x",
        "R! /srv/there",
        "h /srv/there - - - - +C",
        "z /srv/x 0700",
        "e /srv/x 0700",
        "d /proc/x",
        "d /dev/shm/x",
        "d /srv/there 0700",
        "f /srv/there - - - - other",
    ] {
        let case = case(nothing);
        assert_eq!(case.texts("tmpfiles"), BTreeMap::new(), "{nothing}");
        assert!(!refused(&case), "{nothing}");
    }
    for odd in [
        "d",
        "d srv/x",
        "d /",
        "d /srv/../etc",
        "d /srv/%i",
        "d /srv/*",
        "d \"/srv/x\"",
        "d /srv/x 99",
        "d /srv/x 77777",
        "d /srv/x - nobody-known",
        "d /srv/x - - 4294967295",
        "L /srv/x",
        "L /srv/x - - - - /%m",
        "f /srv/x - - - - a\\nb",
        "z /srv/there 4755",
        "C /srv/x - - - - /srv/there",
        "w /srv/there - - - - x",
        "c /srv/x - - - - 1:3",
        "p /srv/x",
        "a /srv/there - - - - u:1:rwx",
        "t /srv/there - - - - user.x=1",
    ] {
        let case = case(odd);
        assert_eq!(case.texts("tmpfiles"), BTreeMap::new(), "{odd}");
        assert!(refused(&case), "{odd}");
    }
    let off = Case { wish: Generate { tmpfiles: false, ..case("").wish }, ..case("d /srv/x") };
    assert_eq!(off.texts("tmpfiles"), BTreeMap::new());
}
