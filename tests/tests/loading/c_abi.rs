//! Plugins in C: the sound one runs as any other, and what is wrong with the others is told by name. None of the
//! mistakes that a plugin can make with what the host gives it harms the process.

use super::{Run, Shelf, set_mode};
use std::path::{Path, PathBuf};
use twarga_agent::{
    collect::Source,
    host::{Library, Refusal},
};
use twarga_plugin_api::{
    Error, ErrorKind,
    abi::{API_VERSION, c::ABI_MAJOR},
};
use twarga_tests::c_compiler::Compiler;

fn source(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

/// Compiles a plugin into the shelf.
fn compiled(shelf: &Shelf, compiler: &Compiler, file: &str, flags: &[&str]) -> PathBuf {
    let library = shelf.path("libcompiled.so");
    compiler.library(&source(file), &library, flags).unwrap_or_else(|error| panic!("{error}"));
    set_mode(&library, 0o755);
    library
}

fn loaded(shelf: &Shelf, compiler: &Compiler, file: &str, name: &str) -> Library {
    let library = compiled(shelf, compiler, file, &[]);
    shelf.load(&library, name).unwrap()
}

const FILEFD: &str = "plugin-api/examples/c/filefd.c";
const MISTAKES: &str = "tests/examples/c/mistakes.c";
const BAD_ENTRY: &str = "tests/examples/c/bad_entry.c";

#[test]
fn a_plugin_in_c_is_like_any_other() {
    let Some(compiler) = Compiler::c() else { return };
    // as optimised, stripped and hidden as an author may build it: section and entry stay
    let builds: [&[&str]; 2] =
        [&["-g"], &["-O2", "-s", "-fvisibility=hidden", "-fdata-sections", "-Wl,--gc-sections"]];
    for flags in builds {
        let shelf = Shelf::new();
        let library = shelf.load(&compiled(&shelf, &compiler, FILEFD, flags), "filefd-c").unwrap();
        assert_eq!((library.metadata.api.as_str(), library.metadata.abi.as_str()), (API_VERSION, "c"));
        let mut run = shelf.run(&library, "{}").unwrap();
        run.collect().unwrap();
        let text = std::fs::read_to_string("/proc/sys/fs/file-nr").unwrap();
        let known: Vec<f64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!(run.value("filefd_c_maximum"), Some(known[2]));
        assert!(run.value("filefd_c_allocated").unwrap() > 0.0);
        assert_eq!(run.instance.live_series(), 2);
        let mut other = shelf.run(&library, "{}").unwrap();
        drop(run);
        other.collect().unwrap();
        assert_eq!(other.samples().len(), 2);
    }
}

#[test]
fn a_plugin_in_cpp_too() {
    let Some(compiler) = Compiler::cpp() else { return };
    let shelf = Shelf::new();
    let code = "#include \"twarga_plugin.h\"\nnamespace { int one; \
        int32_t create(const char *, const twarga_host *host, void **self, twarga_error *error) {\n\
          *self = &one; return host->series(host, 0, nullptr, 0, error) == 0 ? TWARGA_OK : TWARGA_FATAL; }\n\
        int32_t collect(void *, const twarga_out *out, const twarga_host *, twarga_error *) {\n\
          return twarga_put(out, 0, 7); }\n\
        void destroy(void *) {} }\n\
        TWARGA_PLUGIN(cpp, \"cpp\", \"1.0.0\", \"In C++\", \"\", TWARGA_NAMESPACE(\"cpp_\") \
          TWARGA_COUNTER(\"cpp_things_total\", \"\", \"\", \"Things.\"), create, collect, destroy);\n";
    let (file, library) = (shelf.path("cpp.cc"), shelf.path("libcpp.so"));
    std::fs::write(&file, code).unwrap();
    compiler.library(&file, &library, &["-O2", "-fvisibility=hidden"]).unwrap();
    set_mode(&library, 0o755);
    let mut run = shelf.run(&shelf.load(&library, "cpp").unwrap(), "{}").unwrap();
    run.collect().unwrap();
    assert_eq!(run.value("cpp_things_total"), Some(7.0));
}

#[test]
fn bad_entries_are_refused_by_name() {
    let Some(compiler) = Compiler::c() else { return };
    for (flag, expected) in [
        ("-DSIZE=24", "twarga_plugin.size is 24, and it is at least 40"),
        ("-DSIZE=-1", "twarga_plugin.size is 4294967295, and it is at least 40"),
        ("-DMAJOR=2", "twarga_plugin.abi_major is 2, not 1"),
        ("-DCREATE=NULL", "twarga_plugin.create is NULL"),
        ("-DCOLLECT=NULL", "twarga_plugin.collect is NULL"),
        ("-DDESTROY=NULL", "twarga_plugin.destroy is NULL"),
        ("-DMETADATA=NULL", "twarga_plugin.metadata is NULL"),
        ("-DENTRY_IS_MISSING", "it exports no symbol `twarga_plugin_entry_bad`"),
        ("-DENTRY_IS_ELSEWHERE", "it exports no symbol `twarga_plugin_entry_bad`"),
        ("-DENTRY_IS_A_FUNCTION", "`twarga_plugin_entry_bad` is not a variable"),
        ("-DENTRY_IS_SMALL", "`twarga_plugin_entry_bad` has 8 bytes, a twarga_plugin at least 40"),
    ] {
        let shelf = Shelf::new();
        let file = compiled(&shelf, &compiler, BAD_ENTRY, &[flag]);
        let (refusal, message) = shelf.refused(&file, "bad-entry");
        assert!(matches!(refusal, Refusal::Entry(_)), "{flag}: {refusal:?}");
        assert!(message.contains(expected) && message.contains("TWARGA_PLUGIN"), "{flag}: {message}");
    }
    assert_eq!(ABI_MAJOR, 1);
}

#[test]
fn bad_texts_are_refused_by_name() {
    let Some(compiler) = Compiler::c() else { return };
    for (flag, expected) in [
        ("-DNAME=\"bad\\xff\"", "its metadata can't be read: not UTF-8"),
        ("-DNAME=\"bad\\x1b[7m\"", "its metadata can't be read: a control character"),
        ("-DABI=\"cobol\"", "built with plugin API 1.0 over the `cobol` ABI"),
        ("-DMETADATA=\"\\xff\"", "twarga_plugin.metadata is not UTF-8"),
        ("-DMETADATA=\"other\"", "its metadata can't be read: unknown format"),
        (
            "-DMETADATA=\"twarga-plugin-metadata 1\\nname=b\\nentry=e\\napi=1.0\"",
            "is not the text of the file",
        ),
    ] {
        let shelf = Shelf::new();
        let file = compiled(&shelf, &compiler, BAD_ENTRY, &[flag]);
        let (_, message) = shelf.refused(&file, "bad-entry");
        assert!(message.contains(expected), "{flag}: {message}");
    }
}

/// What the host says to each mistake of `mistakes.c`, in its order.
const SAID: [&str; 14] = [
    "series: host is NULL",
    "series: label 0: it is not UTF-8",
    "series: label 0: it is NULL",
    "series: labels is no array, and there should be 1",
    "series: 18446744073709551615 labels, the most is 16",
    "metric `c_mistakes_info` has 1 labels, not 0",
    "no such metric",
    "untouched",
    "metric: metric is NULL",
    "metric: twarga_metric.size is 8, and it is at least 40",
    "metric: there is no kind 1000",
    "metric: the help text is NULL",
    "metric: the name is not UTF-8",
    "metric `elsewhere`: it starts with none of the plugin's namespaces (c_mistakes_)",
];

#[test]
fn mistakes_with_the_host_are_refused_and_told() {
    let Some(compiler) = Compiler::c() else { return };
    let shelf = Shelf::new();
    let library = loaded(&shelf, &compiler, MISTAKES, "c-mistakes");
    let (mut run, _) = super::faults::logged(|| shelf.run(&library, "{}").unwrap());
    let (result, log) = super::faults::logged(|| run.collect());
    result.unwrap();
    for said in SAID {
        let series = format!("c_mistakes_info{{text=\"{said}\"}}");
        assert_eq!(run.value(&series), Some(1.0), "{said} is not in {:#?}", run.samples());
    }
    assert_eq!(run.samples().len(), SAID.len() + 1, "{:#?}", run.samples());
    assert_eq!(run.value("c_mistakes_refusals"), Some(9.0));
    for line in ["put: samples is no array of 1", "log: message is NULL", "unavailable: reason is NULL"] {
        assert!(log.contains(line), "{line}: {log}");
    }
    let (result, log) = super::faults::logged(|| run.collect());
    result.unwrap();
    assert!(log.contains("1 uses of the host from another thread or outside a call"), "{log}");
    assert_eq!(run.instance.refused(), 0, "no sample was let through to be refused later");
}

#[test]
fn what_create_answers_is_told() {
    let Some(compiler) = Compiler::c() else { return };
    let shelf = Shelf::new();
    let library = loaded(&shelf, &compiler, MISTAKES, "c-mistakes");
    let answer = |what: &str| -> Error {
        let config = format!(r#"{{"do":"{what}"}}"#);
        shelf.run(&library, &config).err().unwrap_or_else(|| panic!("{what}: made"))
    };
    for (what, kind, location, message) in [
        ("no_state", ErrorKind::Fatal, "", "create() said TWARGA_OK and left *self NULL"),
        ("config", ErrorKind::Config, "disks.0", "no such disk"),
        ("strange_code", ErrorKind::Fatal, "", "strange (code 99, which is none of TWARGA_…)"),
        ("negative_code", ErrorKind::Fatal, "", "no more than the code -1, which is none of TWARGA_…"),
        ("no_message", ErrorKind::Unsupported, "", "no more than the code 3"),
    ] {
        let error = answer(what);
        assert_eq!((error.kind(), error.location()), (kind, location), "{what}: {error}");
        assert!(error.message().contains(message), "{what}: {error}");
    }
    let error = answer("no_end");
    assert_eq!(error.kind(), ErrorKind::Transient);
    assert!(error.message().starts_with('\u{fffd}') && error.message().len() <= 500, "{error}");
    assert_eq!(error.location(), "x".repeat(256));
    let mut run: Run = shelf.run(&library, "{}").unwrap();
    run.collect().unwrap();
}
