//! The libraries for C and C++: their header, and where they are installed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process;

/// Which header generator the header is made with.
const CBINDGEN: &str = "0.29.4";
const PACKAGE: &str = "crates/ringway-capi";
/// How the libraries are called, and the number in the shared one's soname.
const LIBRARY: &str = "ringway_c";
const ABI: &str = "0";

/// `c-header [--check]`
pub(crate) fn header(arguments: &[String]) -> Result<(), String> {
    let is_check = match arguments {
        [] => false,
        [word] if word == "--check" => true,
        [word, ..] => return Err(format!("there is no argument {word}")),
    };
    process::ensure_version(&["cbindgen", "--version"], "cbindgen", CBINDGEN)?;
    let mut generate = process::command(&["cbindgen", "--quiet", "--config"]);
    generate
        .arg(format!("{PACKAGE}/cbindgen.toml"))
        .arg(PACKAGE);
    let made = process::quiet(generate)?;
    // What Rust calls so, C programmers read as a promise of theirs.
    let made = made.replace("// # Safety\n", "// The caller promises:\n");
    let path = process::root().join(PACKAGE).join("include/ringway.h");
    let there = fs::read_to_string(&path).unwrap_or_default();
    match is_check {
        true if there == made => Ok(()),
        true => Err(format!(
            "{} is not what the sources say: cargo xtask c-header",
            path.display()
        )),
        false => fs::write(&path, made).map_err(|error| format!("{}: {error}", path.display())),
    }
}

/// `c-install PREFIX`
pub(crate) fn install(arguments: &[String]) -> Result<(), String> {
    let [prefix] = arguments else {
        return Err("c-install needs a folder: /usr/local, say".to_owned());
    };
    let prefix = std::path::absolute(prefix).map_err(|error| error.to_string())?;
    install_for(&prefix, &prefix)
}

/// Installs below `prefix` what will be below `shown` on the machine that it is for.
pub(crate) fn install_for(prefix: &Path, shown: &Path) -> Result<(), String> {
    let build = [
        "cargo",
        "build",
        "--release",
        "--locked",
        "--package",
        "ringway-capi",
    ];
    process::run(process::command(&build))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let built = process::root().join(target).join("release");
    let (lib, include) = (prefix.join("lib"), prefix.join("include"));
    let pkgconfig = lib.join("pkgconfig");
    for folder in [&pkgconfig, &include] {
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let shared = format!("lib{LIBRARY}.so.{ABI}");
    copy(&built.join(format!("lib{LIBRARY}.so")), &lib.join(&shared))?;
    copy(
        &built.join(format!("lib{LIBRARY}.a")),
        &lib.join(format!("lib{LIBRARY}.a")),
    )?;
    let link = lib.join(format!("lib{LIBRARY}.so"));
    let _ = fs::remove_file(&link);
    std::os::unix::fs::symlink(&shared, &link)
        .map_err(|error| format!("{}: {error}", link.display()))?;
    for header in ["ringway.h", "ringway.hpp"] {
        let source = process::root().join(PACKAGE).join("include").join(header);
        copy(&source, &include.join(header))?;
    }
    let description = pkgconfig.join("ringway.pc");
    let text = format!(
        "prefix={}\nlibdir=${{prefix}}/lib\nincludedir=${{prefix}}/include\n\nName: ringway\n\
         Description: Messages between processes on one Linux machine through shared memory\n\
         Version: {}\nCflags: -I${{includedir}}\nLibs: -L${{libdir}} -l{LIBRARY}\n\
         Libs.private: -lpthread -ldl -lm\n",
        shown.display(),
        env!("CARGO_PKG_VERSION")
    );
    fs::write(&description, text).map_err(|error| format!("{}: {error}", description.display()))
}

fn copy(from: &Path, to: &PathBuf) -> Result<(), String> {
    // A program that has the old one mapped keeps it.
    let _ = fs::remove_file(to);
    fs::copy(from, to)
        .map(drop)
        .map_err(|error| format!("{}: {error}", to.display()))
}
