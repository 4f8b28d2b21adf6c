//! Debian's architectures (Policy 11.1; `dpkg-architecture -L`).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A Debian architecture that a tier can be composed for, such as `amd64`. Never `all` or `any`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Architecture(&'static Row);

#[derive(PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Row {
    name: &'static str,
    /// The GNU triplet of /usr/lib/<triplet>.
    multiarch: &'static str,
    /// `std::env::consts::ARCH` (with the endianness or pointer width it leaves open as a second word).
    rust: &'static str,
}

/// Every architecture known; a new one is a row here (and one in `image/` for its OCI platform).
static ROWS: [Row; 8] = [
    Row { name: "amd64", multiarch: "x86_64-linux-gnu", rust: "x86_64" },
    Row { name: "arm64", multiarch: "aarch64-linux-gnu", rust: "aarch64" },
    Row { name: "armhf", multiarch: "arm-linux-gnueabihf", rust: "arm" },
    Row { name: "i386", multiarch: "i386-linux-gnu", rust: "x86" },
    Row { name: "loong64", multiarch: "loongarch64-linux-gnu", rust: "loongarch64" },
    Row { name: "ppc64el", multiarch: "powerpc64le-linux-gnu", rust: "powerpc64" },
    Row { name: "riscv64", multiarch: "riscv64-linux-gnu", rust: "riscv64" },
    Row { name: "s390x", multiarch: "s390x-linux-gnu", rust: "s390x" },
];

impl Architecture {
    /// All that are known, by name.
    pub fn known() -> impl Iterator<Item = Self> {
        ROWS.iter().map(Self)
    }

    /// The architecture that this program was built for, if it is one of Debian's known ones.
    pub fn host() -> Option<Self> {
        Self::known().find(|arch| arch.0.rust == std::env::consts::ARCH)
    }

    /// Debian's name.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The multiarch tuple, as in `/usr/lib/x86_64-linux-gnu`.
    pub fn multiarch(self) -> &'static str {
        self.0.multiarch
    }
}

/// No known architecture has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no architecture is called {0:?}")]
pub struct UnknownArchitecture(pub String);

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> Result<Self, UnknownArchitecture> {
        Self::known()
            .find(|arch| arch.name() == name)
            .ok_or_else(|| UnknownArchitecture(name.chars().take(80).collect()))
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Debug for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Architecture {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Architecture {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map_err(serde::de::Error::custom)
    }
}
