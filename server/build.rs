//! Takes the built page (`dashboard/dist`, made by `make page`) into the program; without it, a page that says how to
//! build it. A release is not made with that stand-in unless `TIDELINE_STUB_PAGE=1` says that it may be.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Compressed beside the file itself by the page's own build.
const ENCODINGS: [&str; 2] = ["br", "gz"];

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let dist = manifest.join("../dashboard/dist");
    // A watched path that is not there would make every build begin anew; where it cannot be made, so be it.
    let _ = fs::create_dir_all(&dist);
    println!("cargo::rerun-if-changed={}", dist.display());
    println!("cargo::rerun-if-env-changed=TIDELINE_STUB_PAGE");
    let is_built = dist.join("index.html").is_file();
    if !is_built && is_release(&out) && std::env::var_os("TIDELINE_STUB_PAGE").is_none() {
        println!(
            "cargo::error=the page is not built, and a release should have it: run `make page` (Node 20 with npm), or set \
             TIDELINE_STUB_PAGE=1 for a server whose page only says so"
        );
        return Ok(());
    }
    let files = if is_built { collect(&dist)? } else { Vec::new() };
    fs::write(out.join("page.rs"), source(&dist, &files, &out.join("page"))?)?;
    Ok(())
}

/// Whether this is `--release`: profiles that inherit from it build into folders of their own names.
fn is_release(out: &Path) -> bool {
    out.ancestors().nth(3).and_then(Path::file_name).is_some_and(|name| name == "release")
}

/// The files to serve, without their compressed copies, in a stable order.
fn collect(dist: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let (mut folders, mut files) = (vec![dist.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if !ENCODINGS.iter().any(|e| path.extension().is_some_and(|x| x == *e)) {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The list as code. The files are copied to `kept` first: the page may be built anew while the compiler reads them.
fn source(dist: &Path, files: &[PathBuf], kept: &Path) -> Result<String, Box<dyn Error>> {
    fs::create_dir_all(kept)?;
    let mut code =
        "/// Every file of the built page; none where it was not built.\npub static FILES: &[File] = &[\n".to_owned();
    for path in files {
        let name = path.strip_prefix(dist)?.to_string_lossy().replace('\\', "/");
        let include = |path: &Path| {
            let copy = kept.join(path.strip_prefix(dist)?.to_string_lossy().replace(['/', '\\'], "_"));
            fs::copy(path, &copy)?;
            Ok::<_, Box<dyn Error>>(format!("include_bytes!({copy:?})"))
        };
        let compressed = |encoding: &str| {
            let copy = PathBuf::from(format!("{}.{encoding}", path.display()));
            if copy.is_file() { include(&copy).map(|code| format!("Some({code})")) } else { Ok("None".to_owned()) }
        };
        writeln!(
            code,
            "    File {{ path: {:?}, etag: \"\\\"{:016x}\\\"\", plain: {}, br: {}, gz: {} }},",
            format!("/{name}"),
            fnv(&fs::read(path)?),
            include(path)?,
            compressed("br")?,
            compressed("gz")?,
        )?;
    }
    code.push_str("];\n");
    Ok(code)
}

/// FNV-1a: names a file's content.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
}
