//! What operators use besides the server: `doctor`, completions, help, the reference of settings. And what a start says
//! that cannot be.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::answers::wants_update;
use crate::app::event;
use crate::process::Server;
use crate::redis::Redis;
use crate::tls::certificate;

fn tideline(args: &[&str], settings: &[(&str, &str)], dir: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tideline"));
    command.args(args).current_dir(dir).envs(settings.iter().copied()).env_remove("TIDELINE_FIXTURES");
    command.stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What doctor says: the exit code, and (area, level, what, fix) of each finding.
struct Doctor {
    code: Option<i32>,
    findings: Vec<(String, String, String, String)>,
}

impl Doctor {
    fn asked(args: &[&str], settings: &[(&str, &str)], dir: &Path) -> Self {
        let output = tideline(&[&["doctor", "--json"], args].concat(), settings, dir);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| {
            panic!("{e}: {}{}", text(&output.stdout), text(&output.stderr));
        });
        let field = |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        let findings = json["findings"].as_array().unwrap().iter();
        let findings: Vec<_> =
            findings.map(|f| (field(f, "area"), field(f, "level"), field(f, "what"), field(f, "fix"))).collect();
        for (area, level, what, fix) in &findings {
            assert_eq!(level == "ok", fix.is_empty(), "{area}: {what}");
        }
        let worst = ["ok", "warn", "fail"].into_iter().rposition(|l| findings.iter().any(|f| f.1 == l)).unwrap();
        assert_eq!(output.status.code(), i32::try_from(worst).ok(), "{findings:?}");
        Self { code: output.status.code(), findings }
    }

    /// The finding of this area and level that says these words.
    fn has(&self, area: &str, level: &str, words: &str) {
        let said = |f: &&(String, String, String, String)| {
            f.0 == area && f.1 == level && format!("{} {}", f.2, f.3).contains(words)
        };
        assert!(self.findings.iter().any(|f| said(&f)), "no {level} of {area} says `{words}`: {:#?}", self.findings);
    }
}

#[test]
fn doctor_looks_at_a_folder_before_beside_and_after_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let at = ["--data-dir", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let before = Doctor::asked(&at, &[], dir.path());
    before.has("data folder", "ok", "the first start makes it");
    before.has("keys", "ok", "none");
    assert!(before.code < Some(2), "{:#?}", before.findings);
    assert!(!data.exists(), "doctor made the folder");

    let server = Server::start(&data, &[("TIDELINE_FLUSH_AGE", "1h")]);
    assert_eq!(Server::post(&server.url, &event("a")).unwrap().0, 202);
    let address = server.url.trim_start_matches("http://").to_owned();
    let beside = Doctor::asked(&["--data-dir", at[1], "--listen", &address], &[], dir.path());
    beside.has("data folder", "ok", &format!("process {}", server.pid()));
    beside.has("server", "ok", "well");
    beside.has("port", "ok", "running server's");
    beside.has("log", "ok", "write-ahead log");
    drop(server);

    // Killed: the log ends as it ends. What a torn write leaves is found and named.
    let segments = std::fs::read_dir(data.join("wal")).unwrap().flatten().map(|e| e.path());
    let last = segments.filter(|p| p.is_file()).max().unwrap();
    let whole = std::fs::read(&last).unwrap();
    std::fs::write(&last, [&whole[..], &whole[whole.len() - 200..whole.len() - 100]].concat()).unwrap();
    let after = Doctor::asked(&at, &[], dir.path());
    after.has("data folder", "ok", "no server has it");
    after.has("lake", "ok", "version");
    assert!(after.findings.iter().any(|f| f.0 == "log"), "{:#?}", after.findings);
    // A byte in the middle is damage.
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    damaged.extend_from_slice(&whole[64..]);
    std::fs::write(&last, damaged).unwrap();
    Doctor::asked(&at, &[], dir.path()).has("log", "fail", "tideline check --repair");
}

#[test]
fn doctor_names_what_is_wrong_and_the_fix() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let data = data.to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let port = Doctor::asked(&["--data-dir", data, "--listen", &address], &[], dir.path());
    port.has("port", "fail", &format!("process {}", std::process::id()));
    port.has("port", "fail", "--listen");

    let unknown = Doctor::asked(&["--data-dir", data], &[("TIDELINE_DATADIR", "x")], dir.path());
    unknown.has("settings", "fail", "TIDELINE_DATA_DIR");
    assert_eq!(unknown.code, Some(2));

    let public = Doctor::asked(&["--data-dir", data, "--listen", "0.0.0.0:0"], &[], dir.path());
    public.has("keys", "fail", "tideline keys create");

    let made =
        tideline(&["keys", "create", "--name", "admin", "--scopes", "admin", "--data-dir", data], &[], dir.path());
    assert!(made.status.success(), "{}", text(&made.stderr));
    let keys = Path::new(data).join("keys.json");
    let mode =
        |path: &Path| std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions()) & 0o777;
    assert_eq!(mode(&keys), 0o600, "only its owner may read the keys' file");
    let unending = Doctor::asked(&["--data-dir", data, "--listen", "127.0.0.1:0"], &[], dir.path());
    unending.has("keys", "warn", "--expires");
    std::fs::set_permissions(&keys, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    Doctor::asked(&["--data-dir", data], &[], dir.path()).has("keys", "warn", "chmod 600");

    let public = ["--data-dir", data, "--listen", "0.0.0.0:0"];
    Doctor::asked(&public, &[], dir.path()).has("keys", "warn", "not encrypted");
    let (cert, key) = certificate(dir.path(), "shop");
    let tls = [("TIDELINE_TLS_CERT_FILE", cert.to_str().unwrap()), ("TIDELINE_TLS_KEY_FILE", key.to_str().unwrap())];
    let encrypted = Doctor::asked(&public, &tls, dir.path());
    encrypted.has("tls", "ok", "belong together");
    assert!(encrypted.findings.iter().all(|f| !f.2.contains("not encrypted")), "{:#?}", encrypted.findings);
    std::fs::write(&cert, "no certificate").unwrap();
    Doctor::asked(&public, &tls, dir.path()).has("tls", "fail", cert.to_str().unwrap());

    let small = [("TIDELINE_QUERY_MEMORY_BYTES", "1024GiB"), ("TIDELINE_QUERY_SPILL_BYTES", "1000000GiB")];
    let small = Doctor::asked(&["--data-dir", data], &small, dir.path());
    small.has("memory", "fail", "query.memory_bytes");
    small.has("disk", "warn", "query.spill_bytes");

    let file = dir.path().join("tideline.toml");
    std::fs::write(&file, "redis_url = \"redis://:hunter2@127.0.0.1:1\"\n").unwrap();
    let secrets = Doctor::asked(&["--data-dir", data], &[], dir.path());
    secrets.has("settings", "warn", "chmod 600");
    secrets.has("redis", "fail", "redis://***@127.0.0.1:1");
    assert!(secrets.findings.iter().all(|f| !f.2.contains("hunter2")), "{:#?}", secrets.findings);
}

#[test]
fn doctor_examines_redis() {
    let dir = tempfile::tempdir().unwrap();
    let redis = Redis::start(dir.path());
    let at = ["--redis-url", &redis.url, "--data-dir", "data", "--listen", "127.0.0.1:0"];
    let asked = Doctor::asked(&at, &[], dir.path());
    asked.has("redis", "ok", "version");
    asked.has("redis", "ok", "ping");
    let mut connection = ::redis::Client::open(redis.url.as_str()).unwrap().get_connection().unwrap();
    for (name, value) in [("maxmemory", "100mb"), ("maxmemory-policy", "allkeys-lru")] {
        ::redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut connection).unwrap();
    }
    Doctor::asked(&at, &[], dir.path()).has("redis", "warn", "noeviction");
}

#[test]
fn a_start_that_cannot_be_names_who_is_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&dir.path().join("data"), &[]);
    let address = server.url.trim_start_matches("http://");
    let pid = format!("process {}", server.pid());
    let port = tideline(&["serve", "--listen", address, "--data-dir", "other"], &[], dir.path());
    assert!(text(&port.stderr).contains(&pid) && text(&port.stderr).contains("--listen"), "{}", text(&port.stderr));
    let folder = tideline(&["serve", "--listen", "127.0.0.1:0", "--data-dir", "data"], &[], dir.path());
    assert!(
        text(&folder.stderr).contains(&pid) && text(&folder.stderr).contains("--data-dir"),
        "{}",
        text(&folder.stderr)
    );
    for (dir, words) in [("/proc/tideline", "--data-dir"), ("/dev/null/x", "--data-dir"), ("/dev/null", "--data-dir")] {
        let refused = tideline(&["serve", "--listen", "127.0.0.1:0", "--data-dir", dir], &[], Path::new("/"));
        assert_eq!(refused.status.code(), Some(1), "{dir}");
        assert!(text(&refused.stderr).contains(words), "{dir}: {}", text(&refused.stderr));
    }
}

#[test]
fn every_shell_gets_its_completions() {
    let dir = tempfile::tempdir().unwrap();
    for (shell, words) in [
        ("bash", "complete -F"),
        ("zsh", "#compdef tideline"),
        ("fish", "complete -c tideline"),
        ("powershell", "Register-ArgumentCompleter"),
    ] {
        let output = tideline(&["completions", shell], &[], dir.path());
        let script = text(&output.stdout);
        assert!(output.status.success() && script.contains(words), "{shell}: {}", text(&output.stderr));
        for word in ["dead-letters", "doctor", "--data-dir"] {
            assert!(script.contains(word.trim_start_matches("--")), "{shell} does not complete {word}");
        }
    }
    assert_eq!(tideline(&["completions", "tcsh"], &[], dir.path()).status.code(), Some(2));
    // What bash makes of it, where there is a bash: the words that may follow `tideline d`.
    let script = dir.path().join("tideline.bash");
    std::fs::write(&script, tideline(&["completions", "bash"], &[], dir.path()).stdout).unwrap();
    let ask = "source $0; COMP_WORDS=(tideline d); COMP_CWORD=1; _tideline tideline d tideline; echo ${COMPREPLY[@]}";
    let bash = Command::new("bash").arg("-c").arg(ask).arg(&script).output().unwrap();
    let words = text(&bash.stdout);
    assert!(["doctor", "dead-letters", "demo"].iter().all(|w| words.contains(w)), "{words}{}", text(&bash.stderr));
}

/// As people read a manual page: what it does, how it is called, what each flag means, examples; in lines that fit.
#[test]
fn every_command_explains_itself() {
    let dir = tempfile::tempdir().unwrap();
    let help = text(&tideline(&["--help"], &[], dir.path()).stdout);
    let commands = help.split("Commands:").nth(1).unwrap().lines().skip(1).take_while(|l| l.starts_with("  "));
    let commands: Vec<&str> = commands.filter_map(|l| l.split_whitespace().next()).filter(|c| *c != "help").collect();
    assert!(commands.len() >= 14 && commands.contains(&"doctor"), "{commands:?}");
    for command in commands {
        let output = tideline(&[command, "--help"], &[], dir.path());
        let help = text(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty(), "{command}");
        for part in ["Usage: tideline", "Options:", "Examples:"] {
            assert!(help.contains(part), "{command} --help has no {part}");
        }
        let mut lines = help.split("Options:").nth(1).unwrap().split("Examples:").next().unwrap().lines();
        while let Some(line) = lines.next() {
            // A flag, and not one of the values listed below it.
            let is_flag = line.trim_start().starts_with('-') && !line.trim_start().starts_with("- ");
            if is_flag && line.trim().split("  ").count() == 1 {
                assert!(lines.next().is_some_and(|l| !l.trim().is_empty()), "{command}: {line} is not explained");
            }
        }
        let short = text(&tideline(&[command, "-h"], &[], dir.path()).stdout);
        assert!(short.len() <= help.len() && short.contains("Usage: tideline"), "{command} -h");
    }
}

#[test]
fn the_reference_of_settings_is_as_the_program_prints_it() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
    let printed = text(&tideline(&["config", "--reference"], &[], &std::env::temp_dir()).stdout);
    if wants_update() {
        std::fs::write(&file, &printed).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == printed, "docs/settings.md is old: tideline config --reference > docs/settings.md");
}
