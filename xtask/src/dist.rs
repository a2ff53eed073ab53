//! What goes onto other machines: manual, completions, and a Debian package with all of it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{c, process, sbom};

/// Shells, and where each looks for what it completes commands by.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions/ringway"),
    ("zsh", "usr/share/zsh/vendor-completions/_ringway"),
    ("fish", "usr/share/fish/vendor_completions.d/ringway.fish"),
];

const UNITS: [&str; 3] = [
    "ringway-metrics.service",
    "ringway-gc.service",
    "ringway-gc.timer",
];

/// Further files, from the root of the sources to that of the machine.
const FILES: [(&str, &str); 7] = [
    ("README.md", "usr/share/doc/ringway/README.md"),
    ("CHANGELOG.md", "usr/share/doc/ringway/CHANGELOG.md"),
    ("LICENSE-APACHE", "usr/share/doc/ringway/LICENSE-APACHE"),
    ("LICENSE-MIT", "usr/share/doc/ringway/LICENSE-MIT"),
    (
        "packaging/debian/copyright",
        "usr/share/doc/ringway/copyright",
    ),
    (
        "packaging/prometheus/ringway.rules.yml",
        "usr/share/doc/ringway/examples/ringway.rules.yml",
    ),
    (
        "packaging/grafana/ringway.json",
        "usr/share/doc/ringway/examples/ringway.json",
    ),
];

/// `dist [--check]`
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let is_check = match arguments {
        [] => false,
        [word] if word == "--check" => true,
        [word, ..] => return Err(format!("there is no argument {word}")),
    };
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let target = process::root().join(target);
    let dist = target.join("dist");
    let _ = fs::remove_dir_all(&dist);
    let tree = dist.join("tree");
    fill(&target, &tree)?;
    let package = package(&dist, &tree)?;
    println!("{}", package.display());
    match is_check {
        true => check(&package, &dist.join("root")),
        false => Ok(()),
    }
}

/// Puts all files where they are on a machine, below `tree`.
fn fill(target: &Path, tree: &Path) -> Result<(), String> {
    let build = [
        "cargo",
        "build",
        "--release",
        "--locked",
        "--package",
        "ringway-cli",
    ];
    process::run(process::command(&build))?;
    let program = target.join("release/ringway");
    let shown = program.display().to_string();
    put(&program, &tree.join("usr/bin/ringway"))?;
    let mut strip = process::command(&["strip", "--strip-debug"]);
    strip.arg(tree.join("usr/bin/ringway"));
    process::run(strip)?;
    c::install_for(&tree.join("usr"), Path::new("/usr"))?;
    for (shell, path) in SHELLS {
        let mut command = process::command(&[&shown, "completions", shell]);
        command.stdin(std::process::Stdio::null());
        write(&tree.join(path), process::quiet(command)?.as_bytes())?;
    }
    let man = tree.join("usr/share/man/man1");
    make(&man)?;
    let mut command = process::command(&[&shown, "man-pages"]);
    command.arg(&man);
    process::run(command)?;
    for page in files(&man)? {
        let mut gzip = process::command(&["gzip", "-9n"]);
        gzip.arg(page);
        process::quiet(gzip)?;
    }
    for unit in UNITS {
        let from = process::root().join("packaging/systemd").join(unit);
        put(&from, &tree.join("usr/lib/systemd/system").join(unit))?;
    }
    let bill = tree.join("usr/share/doc/ringway/ringway.cdx.json");
    write(&bill, sbom::make()?.as_bytes())?;
    for (from, to) in FILES {
        put(&process::root().join(from), &tree.join(to))?;
    }
    Ok(())
}

/// Makes the package of the tree.
fn package(dist: &Path, tree: &Path) -> Result<PathBuf, String> {
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let version = env!("CARGO_PKG_VERSION");
    let size = process::quiet({
        let mut du = process::command(&["du", "-sk"]);
        du.arg(tree);
        du
    })?;
    let size = size.split_whitespace().next().unwrap_or("0");
    let control = format!(
        "Package: ringway\nVersion: {version}\nArchitecture: {machine}\nSection: utils\nPriority: optional\n\
         Maintainer: The ringway maintainers <maintainers@ringway.invalid>\nInstalled-Size: {size}\n\
         Depends: libc6 (>= 2.34), libgcc-s1\n\
         Description: messages between processes on one machine, through shared memory\n \
         The command ringway, which sends, receives, looks and tidies up; the library for C and C++ with\n \
         its headers; manual, completions, and units for systemd, none of which is enabled.\n"
    );
    write(&tree.join("DEBIAN/control"), control.as_bytes())?;
    let package = dist.join(format!("ringway_{version}_{machine}.deb"));
    let mut build = process::command(&["dpkg-deb", "--root-owner-group", "--build"]);
    build.arg(tree).arg(&package);
    process::run(build)?;
    Ok(package)
}

/// Installs the package below `root`, uses it, removes it, and sees that nothing stays.
fn check(package: &Path, root: &Path) -> Result<(), String> {
    for folder in ["updates", "info", "triggers"] {
        make(&root.join("var/lib/dpkg").join(folder))?;
    }
    write(&root.join("var/lib/dpkg/status"), b"")?;
    let before = all(root)?;
    let dpkg = |words: &[&str]| {
        let mut dpkg = process::command(&["dpkg", "--force-depends", "--force-not-root"]);
        dpkg.arg(format!("--root={}", root.display())).args(words);
        process::run(dpkg)
    };
    let package = package.display().to_string();
    dpkg(&["--install", &package])?;
    use_it(root)?;
    dpkg(&["--purge", "ringway"])?;
    let after = all(root)?;
    let stays: Vec<_> = after.difference(&before).collect();
    match stays.is_empty() {
        true => Ok(()),
        false => Err(format!("removed, it leaves {stays:?}")),
    }
}

/// What somebody does who has installed it.
fn use_it(root: &Path) -> Result<(), String> {
    let script = r#"
        set -eu
        PATH=$ROOT/usr/bin:$PATH
        export PATH
        ringway --version | grep -q '^ringway [0-9]'
        cd "$ROOT/tmp"
        ringway send "file:$PWD/ring" --create --quiet -m one -m two
        test "$(ringway tap "file:$PWD/ring" --last 1)" = two
        test "$(ringway recv "file:$PWD/ring" --quiet --unlink | tr '\n' ' ')" = "one two "
        # A program in C, by what pkg-config says.
        PKG_CONFIG_LIBDIR=$ROOT/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$ROOT
        export PKG_CONFIG_LIBDIR PKG_CONFIG_SYSROOT_DIR
        gcc -std=c11 "$SOURCES/crates/ringway-capi/examples/hello.c" -o hello $(pkg-config --cflags --libs ringway)
        LD_LIBRARY_PATH=$ROOT/usr/lib ./hello send "file:$PWD/orders"
        LD_LIBRARY_PATH=$ROOT/usr/lib ./hello recv "file:$PWD/orders" | grep -qx 'buy 2'
        rm hello orders
        # The bill of materials names what the command says that it is, and what it is made of.
        bill=$ROOT/usr/share/doc/ringway/ringway.cdx.json
        grep -q "\"name\": \"ringway-cli\", \"version\": \"$(ringway --version | cut -d ' ' -f 2)\"" "$bill"
        grep -q '"name": "libc".*"scope": "required".*"licenses"' "$bill"
        # Each command has a page, and each page its sections.
        for name in "" -send -recv -ls -stat -tap -top -metrics -gc -doctor -serve -call; do
            page=$(gzip -dc "$ROOT/usr/share/man/man1/ringway$name.1.gz")
            for section in NAME SYNOPSIS; do
                printf '%s' "$page" | grep -q "^.SH $section" || { echo "ringway$name.1: no $section"; exit 1; }
            done
            if command -v groff >/dev/null; then
                said=$(printf '%s' "$page" | groff -man -Tutf8 -ww -z 2>&1)
                test -z "$said" || { echo "ringway$name.1: $said"; exit 1; }
            fi
        done
        # bash completes a command and an option.
        completed=$(bash -c '
            . "$ROOT/usr/share/bash-completion/completions/ringway"
            COMP_WORDS=(ringway met) COMP_CWORD=1
            _ringway ringway met ringway
            echo "${COMPREPLY[*]}"
            COMP_WORDS=(ringway top --js) COMP_CWORD=2
            _ringway ringway --js top
            echo "${COMPREPLY[*]}"' | tr '\n' ' ')
        test "$completed" = "metrics --json " || { echo "bash completes: $completed"; exit 1; }
        if command -v zsh >/dev/null; then zsh -n "$ROOT/usr/share/zsh/vendor-completions/_ringway"; fi
        if command -v fish >/dev/null; then fish -n "$ROOT/usr/share/fish/vendor_completions.d/ringway.fish"; fi
        # What a unit starts is there, and understands its words.
        grep -h ^ExecStart= "$ROOT"/usr/lib/systemd/system/*.service | while IFS= read -r line; do
            line=${line#ExecStart=/usr/bin/ringway }
            ringway ${line%% *} --help >/dev/null
            for word in $line; do
                case $word in --*) ringway ${line%% *} --help | grep -q -e "$word" || exit 1 ;; esac
            done
        done
        test -z "$(ls)"
    "#;
    make(&root.join("tmp"))?;
    let mut shell = process::command(&["bash", "-c", script]);
    shell.env("ROOT", root).env("SOURCES", process::root());
    shell.env_remove("LD_LIBRARY_PATH");
    let outcome = process::quiet(shell).map(drop);
    fs::remove_dir_all(root.join("tmp")).map_err(|error| error.to_string())?;
    outcome.map_err(|problem| problem.replace(script, "(the script in xtask/src/dist.rs)"))
}

/// All files below a folder, but those of dpkg itself.
fn all(root: &Path) -> Result<std::collections::BTreeSet<PathBuf>, String> {
    let mut found = std::collections::BTreeSet::new();
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        for path in files(&folder)? {
            if path.starts_with(root.join("var/lib/dpkg")) {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                left.push(path.clone());
            }
            found.insert(path);
        }
    }
    found.remove(&root.join("var"));
    Ok(found)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn write(path: &Path, content: &[u8]) -> Result<(), String> {
    make(path.parent().unwrap_or(path))?;
    fs::write(path, content).map_err(|error| format!("{}: {error}", path.display()))
}

fn put(from: &Path, to: &Path) -> Result<(), String> {
    make(to.parent().unwrap_or(to))?;
    fs::copy(from, to)
        .map(drop)
        .map_err(|error| format!("{}: {error}", to.display()))
}
