//! Package URLs of Debian packages (purl specification, type `deb`).

/// `pkg:deb/debian/libc6@2.41-12%2Bdeb13u4?arch=amd64&distro=debian-13&upstream=glibc`. `vendor` is the
/// `ID` of os-release(5), `release` its `VERSION_ID`. `upstream` names source package and version where
/// they are not the binary package's: scanners look up advisories by it. Letters, digits and `-._~:` stand
/// as they are, all else is percent-encoded.
pub fn purl(
    vendor: &str,
    release: Option<&str>,
    (name, version, architecture): (&str, &str, &str),
    source: (&str, &str),
) -> String {
    let mut purl = format!(
        "pkg:deb/{}/{}@{}?arch={}",
        encode(&vendor.to_ascii_lowercase()),
        encode(&name.to_ascii_lowercase()),
        encode(version),
        encode(architecture)
    );
    if let Some(release) = release {
        purl.push_str(&format!("&distro={}-{}", encode(vendor), encode(release)));
    }
    purl.push_str(&match source {
        (source_name, source_version) if source_version != version => {
            format!("&upstream={}", encode(&format!("{source_name}@{source_version}")))
        }
        (source_name, _) if source_name != name => format!("&upstream={}", encode(source_name)),
        _ => String::new(),
    });
    purl
}

fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_are_escaped() {
        for (package, source, expected) in [
            (
                ("libstdc++6", "14.2.0-19", "amd64"),
                ("gcc-14", "14.2.0-19"),
                "libstdc%2B%2B6@14.2.0-19?arch=amd64&distro=debian-13&upstream=gcc-14",
            ),
            (
                ("zlib1g", "1:1.3+b1", "arm64"),
                ("zlib", "1:1.3"),
                "zlib1g@1:1.3%2Bb1?arch=arm64&distro=debian-13&upstream=zlib%401:1.3",
            ),
            (("a", "2~rc1", "all"), ("a", "2~rc1"), "a@2~rc1?arch=all&distro=debian-13"),
            (("a", "1 &?#%/é", "all"), ("a", "1 &?#%/é"), "a@1%20%26%3F%23%25%2F%C3%A9?arch=all&distro=debian-13"),
        ] {
            assert_eq!(purl("debian", Some("13"), package, source), format!("pkg:deb/debian/{expected}"));
        }
        assert_eq!(purl("x/y", None, ("a", "1", "all"), ("a", "1")), "pkg:deb/x%2Fy/a@1?arch=all");
    }
}
