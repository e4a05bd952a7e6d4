//! What programs print: whatever the bytes are, reading ends in order, no line counts twice, and a text that comes in two
//! pieces says what it says as one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twarga_plugin_api::formats::{Format, Parser, parse};

fuzz_target!(|input: (u8, Vec<u8>, Vec<u8>)| {
    let (choice, mut first, second) = input;
    let format = [Format::Prometheus, Format::Influx, Format::Json][usize::from(choice) % 3];
    first.push(b'\n');
    let mut parser = Parser::new(format);
    let pieces = [parser.parse(&first), parser.parse(&second)];
    let whole = parse(format, &[first.clone(), second.clone()].concat());
    let lines = whole.samples.iter().map(|sample| sample.line);
    assert!(lines.is_sorted());
    // `# EOF` at the end makes times of all lines before it seconds: a stream learns that later
    if !first.windows(3).chain(second.windows(3)).any(|three| three == b"EOF") {
        let refused = pieces.iter().map(|piece| piece.refused).sum::<u64>();
        let samples = pieces.iter().map(|piece| piece.samples.len()).sum::<usize>();
        assert_eq!((refused, samples), (whole.refused, whole.samples.len()));
        let numbers: Vec<usize> =
            pieces.iter().flat_map(|piece| &piece.samples).map(|sample| sample.line).collect();
        assert!(numbers.into_iter().eq(whole.samples.iter().map(|sample| sample.line)));
    }
});
