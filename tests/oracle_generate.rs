//! What is made natively, against a system in which Debian's own maintainer scripts ran, and against
//! keytool. Needs root, mmdebstrap, dpkg-deb, a JDK and apt's sources.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use debstrata::{
    cache::Cache,
    compose::{Composed, Composition, Input, compose},
    evidence::lints::scripts::lint,
    generate::{Package, scripts::Effect},
    ground::{RootPath, Sha256, Silent},
    manifest::{Tier, load},
    rootfs::{Node, PackageName},
    unpack::{Expected, Limits, Unpacked, unpack_all},
};
use tempfile::TempDir;

const WANTED: &str = "mawk,vim-tiny,openjdk-17-jre-headless,libblas3,nginx,postgresql-client,ca-certificates-java,\
                      fontconfig-config,dbus,openssh-client,less,netcat-openbsd,tzdata,git,python3,nodejs,iptables,xz-utils";
/// Leaves a .deb of every package beside those that apt fetched.
const KEEP: &str = "cd \"$1/var/cache/apt/archives\" && chroot \"$1\" dpkg-query -W -f '${Package}\\n' | \
                    chroot \"$1\" sh -c 'cd /var/cache/apt/archives && xargs apt-get download -qq'";

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {shown}");
    String::from_utf8(output.stdout).unwrap()
}

struct World {
    folder: TempDir,
    names: Vec<Arc<PackageName>>,
    unpacked: Vec<Unpacked>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let include = format!("--include={WANTED}");
        let keep = format!("--customize-hook={KEEP}");
        let root = root.to_str().unwrap();
        let options = ["--mode=root", "--variant=apt", "--skip=cleanup/apt", "--quiet"];
        let recommends = "--aptopt=APT::Install-Recommends \"0\"";
        // The host's own mirrors, as apt here uses them.
        let sources = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
        let sources = sources.into_iter().find(|file| Path::new(file).exists()).expect("apt has sources here");
        let rest = [recommends, &include, &keep, "bookworm", root, sources];
        run("mmdebstrap", &[options.as_slice(), &rest].concat());
        let archives = Path::new(root).join("var/cache/apt/archives");
        let mut debs: Vec<PathBuf> = fs::read_dir(archives).unwrap().map(|entry| entry.unwrap().path()).collect();
        debs.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
        debs.sort();
        let field = |deb: &Path, name| run("dpkg-deb", &["--field", deb.to_str().unwrap(), name]).trim().to_owned();
        let expected: Vec<Expected> = debs
            .iter()
            .map(|path| {
                let bytes = fs::read(path).unwrap();
                let package = PackageName {
                    name: field(path, "Package").into(),
                    version: field(path, "Version").into(),
                    architecture: field(path, "Architecture").into(),
                };
                Expected { package: Arc::new(package), size: bytes.len() as u64, sha256: Sha256::of(&bytes) }
            })
            .collect();
        let jobs: Vec<_> = debs.iter().map(PathBuf::as_path).zip(&expected).collect();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let unpacked = Mutex::new(BTreeMap::new());
        unpack_all(&jobs, &cache, &Limits::default(), &Silent, |number, result| {
            unpacked.lock().unwrap().insert(number, result.unwrap());
        });
        let unpacked = unpacked.into_inner().unwrap().into_values().collect();
        let names = expected.iter().map(|expected| expected.package.clone()).collect();
        Self { folder, names, unpacked }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    fn compose(&self, manifest: &str) -> (Composed, Tier) {
        let distribution = self.folder.path().join("manifests/d");
        fs::create_dir_all(&distribution).unwrap();
        let archive = "architectures = ['amd64']\n[[sources]]\nsuites = ['x']\ncomponents = ['main']\n\
                       uris = ['https://mirror.example.org/debian']\nallow-unsigned = true\n";
        fs::write(distribution.join("archive.toml"), archive).unwrap();
        fs::write(distribution.join("t.toml"), manifest).unwrap();
        let loaded = load(self.folder.path()).unwrap();
        let distribution = &loaded.project.distributions[0];
        let inputs = self.names.iter().zip(&self.unpacked);
        let inputs: Vec<_> = inputs.map(|(name, unpacked)| Input { name: name.clone(), unpacked }).collect();
        let composed = compose(&Composition {
            archive: &distribution.archive,
            tier: &distribution.tiers[0],
            name: "d/t",
            architecture: "amd64".parse().unwrap(),
            packages: &inputs,
            beside: &BTreeMap::new(),
            archives: &[],
            parent: None,
        });
        let composed = composed.unwrap_or_else(|errors| {
            panic!("{}", errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        });
        (composed, distribution.tiers[0].clone())
    }

    fn packages(&self) -> Vec<Package<'_>> {
        self.names.iter().zip(&self.unpacked).map(|(name, unpacked)| Package { name, unpacked }).collect()
    }
}

/// Links of a folder of the real system, with their targets.
fn real_links(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let link = |path: PathBuf| {
        let target = fs::read_link(&path).ok()?;
        Some((path.file_name()?.to_str()?.to_owned(), target.to_str()?.to_owned()))
    };
    entries.filter_map(link).collect()
}

fn our_links(composed: &Composed, folder: &str) -> BTreeMap<String, String> {
    let folder = RootPath::from_absolute(folder.as_bytes()).unwrap();
    let link = |(path, entry): (&RootPath, &debstrata::rootfs::Entry)| match &entry.node {
        Node::Symlink(target) if path.parent().as_ref() == Some(&folder) => {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            Some((text(path.name()), text(target)))
        }
        _ => None,
    };
    composed.rootfs.below(&folder).filter_map(link).collect()
}

fn bytes(composed: &Composed, path: &str) -> Vec<u8> {
    let entry = composed.rootfs.get(&RootPath::from_absolute(path.as_bytes()).unwrap());
    let Some(Node::File { content, .. }) = entry.map(|entry| &entry.node) else { panic!("no {path}") };
    let mut bytes = vec![0; content.size as usize];
    content.read_at(0, &mut bytes).unwrap();
    bytes
}

/// Certificates of a keystore as keytool shows them: alias and PEM.
fn keytool(store: &Path) -> BTreeSet<String> {
    let arguments = ["-list", "-rfc", "-storepass", "changeit", "-keystore", store.to_str().unwrap()];
    pems(&run("keytool", &arguments))
}

/// Aliases of a keystore, as keytool shows them.
fn aliases(store: &Path) -> BTreeSet<String> {
    let arguments = ["-J-Dfile.encoding=UTF-8", "-J-Dstdout.encoding=UTF-8", "-list", "-v", "-storepass", "changeit"];
    let shown = run("keytool", &[arguments.as_slice(), &["-keystore", store.to_str().unwrap()]].concat());
    let aliases = shown.lines().filter_map(|line| line.strip_prefix("Alias name: "));
    // Of two certificates of one subject the second is numbered.
    aliases.map(|alias| alias.split(" #").next().unwrap_or(alias).to_owned()).collect()
}

/// Java's own idea of the certificates' names.
const NAMES: &str = r#"
import java.io.*;
import java.security.cert.*;

public class Names {
    public static void main(String[] files) throws Exception {
        PrintStream out = new PrintStream(System.out, false, "UTF-8");
        try (InputStream in = new BufferedInputStream(new FileInputStream(files[0]))) {
            for (Certificate one : CertificateFactory.getInstance("X.509").generateCertificates(in)) {
                out.println(((X509Certificate) one).getSubjectX500Principal().getName("CANONICAL"));
            }
        }
        out.flush();
    }
}
"#;

fn canonical_names(folder: &Path, bundle: &[u8]) -> BTreeSet<String> {
    fs::create_dir(folder).unwrap();
    let (program, pem) = (folder.join("Names.java"), folder.join("bundle.pem"));
    fs::write(&program, NAMES).unwrap();
    fs::write(&pem, bundle).unwrap();
    let shown = run("java", &[program.to_str().unwrap(), pem.to_str().unwrap()]);
    shown.lines().map(str::to_owned).collect()
}

fn pems(text: &str) -> BTreeSet<String> {
    let parts = text.split("-----BEGIN CERTIFICATE-----").skip(1);
    parts.map(|part| part.split("-----END").next().unwrap().split_whitespace().collect()).collect()
}

/// What only the running of a script or a person could tell apart.
fn differ(ours: &BTreeMap<String, String>, theirs: &BTreeMap<String, String>) -> Vec<String> {
    let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let differ = names.into_iter().filter(|name| ours.get(*name) != theirs.get(*name));
    differ.map(|name| format!("{name}: ours {:?}, theirs {:?}", ours.get(name), theirs.get(name))).collect()
}

#[test]
fn a_tier_is_as_its_scripts_would_have_left_it() {
    let world = World::new();
    let root = world.root();
    let (composed, tier) = world.compose("dependencies = 'none'\n[generate]\nca-certificates = 'hashed'\n");

    // postgresql-client's choice of manual pages is a row of the table.
    let mut theirs = real_links(&root.join("etc/alternatives"));
    theirs.retain(|_, target| !target.starts_with("/usr/share/postgresql/"));
    let ours = our_links(&composed, "/etc/alternatives");
    assert!(ours.len() > 40, "{} alternatives", ours.len());
    assert_eq!(differ(&ours, &theirs), [""; 0], "alternatives");
    for name in ["/usr/bin/awk", "/usr/bin/java", "/usr/bin/vi", "/usr/bin/nc", "/usr/bin/pager"] {
        let path = RootPath::from_absolute(name.as_bytes()).unwrap();
        let link = composed.rootfs.link(path.as_bytes()).map(|target| String::from_utf8_lossy(target).into_owned());
        let real = fs::read_link(root.join(&name[1..])).unwrap();
        assert_eq!(link.as_deref(), real.to_str(), "{name}");
    }

    assert_eq!(
        differ(&our_links(&composed, "/etc/fonts/conf.d"), &real_links(&root.join("etc/fonts/conf.d"))),
        [""; 0]
    );
    assert_eq!(differ(&our_links(&composed, "/etc/ssl/certs"), &real_links(&root.join("etc/ssl/certs"))), [""; 0]);
    let pem = |bytes: Vec<u8>| pems(&String::from_utf8(bytes).unwrap());
    let bundle = "etc/ssl/certs/ca-certificates.crt";
    let ours = pem(bytes(&composed, &format!("/{bundle}")));
    assert!(ours.is_superset(&pem(fs::read(root.join(bundle)).unwrap())), "the bundle holds all certificates");

    // Name, description, home and shell; numbers where Debian fixes them.
    for (file, fixed) in [("etc/passwd", 100), ("etc/group", 101)] {
        let lines = |text: String| -> BTreeMap<String, String> {
            let line = |line: &str| {
                let mut fields: Vec<_> = line.split(':').map(str::to_owned).collect();
                for number in [2, 3] {
                    if fields.get(number).and_then(|id| id.parse().ok()).is_some_and(|id: u32| id >= fixed && id < 1000)
                    {
                        fields[number] = "?".into();
                    }
                }
                (fields[0].clone(), fields[1..].join(":"))
            };
            text.lines().map(line).collect()
        };
        let ours = lines(String::from_utf8(bytes(&composed, &format!("/{file}"))).unwrap());
        assert_eq!(differ(&ours, &lines(fs::read_to_string(root.join(file)).unwrap())), [""; 0], "{file}");
    }

    // The keystore, as a Debian JRE's keytool reads it, holds the bundle.
    let store = world.folder.path().join("cacerts");
    fs::write(&store, bytes(&composed, "/etc/ssl/certs/java/cacerts")).unwrap();
    assert_eq!(keytool(&store), ours);
    assert_eq!(
        aliases(&store),
        canonical_names(&world.folder.path().join("names"), &bytes(&composed, &format!("/{bundle}")))
    );
    let theirs = keytool(&root.join("etc/ssl/certs/java/cacerts"));
    assert!(theirs.len() > 100 && theirs.is_subset(&ours));

    // Owners and modes that scripts set.
    for (path, mode) in [("/usr/bin/ssh-agent", 0o2755), ("/var/log/nginx/access.log", 0o640)] {
        let entry = composed.rootfs.get(&RootPath::from_absolute(path.as_bytes()).unwrap()).unwrap();
        assert_eq!(entry.attributes.mode, mode, "{path}");
    }

    let packages = world.packages();
    let unhandled: Vec<_> = composed.scripts.iter().filter(|item| item.effect == Effect::Unhandled).collect();
    let with = ["preinst", "postinst"];
    let with =
        packages.iter().filter(|one| with.iter().any(|script| one.unpacked.control.contains_key(*script))).count();
    println!("{} packages, {with} with scripts at installation, {} unhandled", packages.len(), unhandled.len());
    assert!(unhandled.is_empty(), "{unhandled:#?}");
    let names = packages.iter().map(|package| &*package.name.name).collect();
    let findings = lint(&tier, &names, &composed.scripts);
    println!("{findings:#?}");
}
