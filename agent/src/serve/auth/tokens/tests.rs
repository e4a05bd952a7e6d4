use super::*;
use proptest::prelude::*;
use std::{fs, os::unix::ffi::OsStringExt};

const GOOD: &str = "0123456789abcdef";

fn here() -> Vec<SocketAddr> {
    vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]
}

fn sources(dir: &Path) -> TokenSources {
    TokenSources { data_dir: dir.into(), ..TokenSources::default() }
}

fn write(dir: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let file = dir.join(name);
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    file
}

#[test]
fn base64_for_urls() {
    // the vectors of RFC 4648, section 10, without padding
    for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("foob", "Zm9vYg")] {
        assert_eq!(url_safe(bytes.as_bytes()), text);
    }
    assert_eq!(url_safe(&[0xfb, 0xff]), "-_8");
}

#[test]
fn an_admin_token_is_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let first = load(&sources(dir.path()), &here()).unwrap();
    let file = first.made.unwrap();
    assert_eq!(file, dir.path().join("admin.token"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(text.trim().len(), 43);
    assert!(first.warnings.is_empty());
    let second = load(&sources(dir.path()), &here()).unwrap();
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    let same = second.access.admins[0].ct_eq(&Token::configured(text.trim()).unwrap());
    assert!(bool::from(same));
    let other = tempfile::tempdir().unwrap();
    load(&sources(other.path()), &here()).unwrap();
    assert_ne!(fs::read_to_string(other.path().join("admin.token")).unwrap(), text);
}

#[test]
fn a_broken_own_token_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for text in ["", "\n", "short\n"] {
        write(dir.path(), "admin.token", text, 0o600);
        let error = load(&sources(dir.path()), &here()).unwrap_err();
        assert!(error.to_string().contains("delete it"), "{error}");
    }
}

#[test]
fn files_have_comments_and_blank_lines() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "users", &format!("# who\n\n  {GOOD}  \r\n{GOOD}x\n"), 0o640);
    let loaded = load(&TokenSources { user_file: Some(file), ..sources(dir.path()) }, &here()).unwrap();
    assert_eq!(loaded.access.users.len(), 2);
    assert!(loaded.warnings.is_empty());
}

#[test]
fn a_file_that_everyone_reads_is_worth_a_warning() {
    let dir = tempfile::tempdir().unwrap();
    let file = write(dir.path(), "admins", GOOD, 0o644);
    let loaded = load(&TokenSources { admin_file: Some(file), ..sources(dir.path()) }, &here()).unwrap();
    assert!(loaded.warnings[0].contains("admins"), "{:?}", loaded.warnings);
    assert_eq!(loaded.made, None);
    assert!(!dir.path().join("admin.token").exists());
}

#[test]
fn bad_tokens_name_their_place() {
    let dir = tempfile::tempdir().unwrap();
    for (text, expected) in [
        ("# c\nshort\n", "users line 2: a token needs at least 16 characters"),
        ("0123456789 abcdef", "no spaces"),
        ("0123456789abcdef\u{e9}", "visible ASCII"),
        ("# only a comment\n", "has no token"),
    ] {
        let file = write(dir.path(), "users", text, 0o600);
        let error =
            load(&TokenSources { user_file: Some(file), ..sources(dir.path()) }, &here()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let missing = TokenSources { user_file: Some(dir.path().join("none")), ..sources(dir.path()) };
    assert!(load(&missing, &here()).unwrap_err().to_string().contains("can't be read"));
    for value in ["", "   ", "short", &"x".repeat(257)] {
        let sources = TokenSources { admin_token: Some(value.into()), ..sources(dir.path()) };
        let error = load(&sources, &here()).unwrap_err().to_string();
        assert!(error.starts_with("TWARGA_ADMIN_TOKEN: "), "{error}");
    }
}

#[test]
fn a_file_too_large_for_tokens_is_refused_not_cut() {
    let dir = tempfile::tempdir().unwrap();
    let lines = |count: usize| format!("{GOOD}\n").repeat(count);
    let most = LARGEST_FILE as usize / (GOOD.len() + 1);
    let load_of = |text: &str| {
        let file = write(dir.path(), "users", text, 0o600);
        load(&TokenSources { user_file: Some(file), ..sources(dir.path()) }, &here())
    };
    assert_eq!(load_of(&lines(most)).unwrap().access.users.len(), most);
    let error = load_of(&lines(most + 1)).unwrap_err().to_string();
    assert!(error.contains("users has more than 1 MiB"), "{error}");
}

#[test]
fn a_variable_that_is_no_text_is_refused_not_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let garbage = || Some(OsString::from_vec(vec![0xff; 20]));
    let user = TokenSources { user_token: garbage(), ..sources(dir.path()) };
    let admin = TokenSources { admin_token: garbage(), ..sources(dir.path()) };
    for (sources, variable) in [(user, "TWARGA_USER_TOKEN"), (admin, "TWARGA_ADMIN_TOKEN")] {
        let error = load(&sources, &here()).unwrap_err().to_string();
        assert_eq!(error, format!("{variable}: a token has only visible ASCII characters"));
    }
    assert!(!dir.path().join("admin.token").exists());
}

#[test]
fn other_machines_need_tokens() {
    let dir = tempfile::tempdir().unwrap();
    let world: Vec<SocketAddr> = vec!["127.0.0.1:0".parse().unwrap(), "0.0.0.0:8000".parse().unwrap()];
    let token = || Some(OsString::from(GOOD));
    for (user_token, admin_token, expected) in [
        (None, None, Some("http.auth.user_tokens and http.auth.admin_tokens")),
        (token(), None, Some("set http.auth.admin_tokens or TWARGA_ADMIN_TOKEN")),
        (None, token(), Some("set http.auth.user_tokens or TWARGA_USER_TOKEN")),
        (token(), token(), None),
    ] {
        let sources = TokenSources { user_token, admin_token, ..sources(dir.path()) };
        let answer = load(&sources, &world).map(|_| ()).map_err(|error| error.to_string());
        match expected {
            Some(text) => assert!(answer.unwrap_err().contains(text)),
            None => answer.unwrap(),
        }
    }
    assert!(!dir.path().join("admin.token").exists(), "a refusal leaves nothing behind");
}

proptest! {
    #[test]
    fn token_files_never_panic(text in "(?s).{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn tokens_equal_themselves_only(one in "[!-~]{16,40}", at in 0usize..16, change in "[!-~]?") {
        let token = Token::configured(&one).unwrap();
        let mut other = one.clone();
        other.replace_range(at..=at, &change);
        for (shown, same) in [(&one, true), (&other, one == other)] {
            let shown = Token::of_request(shown.as_bytes()).unwrap();
            prop_assert_eq!(bool::from(token.ct_eq(&shown)), same);
        }
    }
}
