//! A project folder of one distribution, `test`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{http::Server, keys::Key};

/// A project in a temporary folder; it goes when dropped.
pub struct Project {
    folder: tempfile::TempDir,
}

impl Project {
    /// The project folder, for `-C`.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file of the distribution, such as `cc.toml`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join("manifests/test").join(name)
    }

    /// Writes a file of the distribution.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.file(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// The binary, to be run on this project: its own cache and no environment but PATH.
    #[allow(clippy::disallowed_methods, reason = "a test has no main.rs to read it")]
    pub fn command(&self) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_debstrata"));
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.arg("-C").arg(self.path());
        command
    }
}

/// Writes `archive.toml` (see [`archive_toml`]), the keyring `keys.asc` beside it, and the tiers (name without
/// `.toml`, text).
pub fn project(archive: &str, keys: &[&Key], tiers: &[(&str, &str)]) -> Project {
    let project = Project { folder: tempfile::tempdir().unwrap() };
    project.write("archive.toml", archive);
    project.write("keys.asc", keys.iter().flat_map(|key| key.armoured()).collect::<Vec<_>>());
    for (name, text) in tiers {
        project.write(&format!("{name}.toml"), text);
    }
    project
}

/// An `archive.toml` for amd64 with one source at `server`, of these suites, signed by `keys.asc`.
pub fn archive_toml(server: &Server, suites: &[&str]) -> String {
    format!(
        "summary = \"a test\"\narchitectures = [\"amd64\"]\ntimestamp = 1970-01-01T00:00:00Z\nmerged-usr = true\n\n\
         [[sources]]\nsuites = {suites:?}\ncomponents = [\"main\"]\nsigned-by = \"keys.asc\"\nuris = [{:?}]\n",
        server.url()
    )
}
