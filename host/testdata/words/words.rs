//! A worker in Rust, written against docs/contract.md without a library: it counts
//! the words of the text in a task's payload, in any script, and returns how many
//! there are, how many different ones, the ten most frequent, and a summary in
//! words. build.sh makes words.wasm of it, about 100 KB, which is committed: a test
//! measures how long a host takes from such a file to its first task.

use std::collections::BTreeMap;

#[link(wasm_import_module = "wasmhost_v1")]
extern "C" {
    fn task_return(ptr: *const u8, len: u32) -> i64;
}

const PERMANENT: u32 = 19; // abi.Permanent
const MAX_TASK: u32 = 1 << 20;

static mut TASK: Vec<u8> = Vec::new();

/// The host writes the task where this points to; null refuses it.
#[no_mangle]
pub extern "C" fn wasmhost_input(len: u32) -> *mut u8 {
    if len > MAX_TASK {
        return std::ptr::null_mut();
    }
    // One call at a time: the contract says so.
    let task = unsafe { &mut *std::ptr::addr_of_mut!(TASK) };
    task.resize(len as usize, 0);
    task.as_mut_ptr()
}

#[no_mangle]
pub extern "C" fn wasmhost_work(len: u32) -> u32 {
    let task = unsafe { &*std::ptr::addr_of!(TASK) };
    let (result, code) = match task.get(..len as usize).ok_or_else(|| "the task was never handed over".to_string()).and_then(work) {
        Ok(result) => (result, 0),
        Err(message) => {
            let mut out = vec![0x81];
            text(&mut out, "message");
            text(&mut out, &message);
            (out, PERMANENT)
        }
    };
    unsafe { task_return(result.as_ptr(), result.len() as u32) };
    code
}

fn work(task: &[u8]) -> Result<Vec<u8>, String> {
    let mut r = Reader { b: task };
    let payload = field(&mut r, "payload")?.ok_or("the task has no payload")?;
    let said = field(&mut Reader { b: payload }, "text")?.ok_or("payload: text is missing")?;
    let said = Reader { b: said }.string()?;

    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let (mut words, mut letters) = (0u64, 0u64);
    for word in said.split(|c: char| !c.is_alphanumeric() && c != '\'').filter(|w| !w.is_empty()) {
        words += 1;
        letters += word.chars().count() as u64;
        *counts.entry(word.to_lowercase()).or_default() += 1;
    }
    let mut top: Vec<(&String, &u64)> = counts.iter().collect();
    top.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    top.truncate(10);

    let mut out = vec![0x84];
    text(&mut out, "words");
    number(&mut out, words);
    text(&mut out, "distinct");
    number(&mut out, counts.len() as u64);
    text(&mut out, "top");
    out.push(0x90 | top.len() as u8);
    for (word, n) in &top {
        out.push(0x92);
        text(&mut out, word);
        number(&mut out, **n);
    }
    text(&mut out, "summary");
    let mean = if words == 0 { 0.0 } else { letters as f64 / words as f64 };
    text(&mut out, &format!("{words} words of {mean:.2} letters, {} of them different", counts.len()));
    Ok(out)
}

/// The value of a key in a map, undecoded.
fn field<'a>(r: &mut Reader<'a>, key: &str) -> Result<Option<&'a [u8]>, String> {
    for _ in 0..r.map()? {
        let name = r.string()?;
        let value = r.value(32)?;
        if name == key {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn text(out: &mut Vec<u8>, s: &str) {
    out.push(0xdb);
    out.extend((s.len() as u32).to_be_bytes());
    out.extend(s.as_bytes());
}

fn number(out: &mut Vec<u8>, n: u64) {
    out.push(0xcf);
    out.extend(n.to_be_bytes());
}

/// Reads msgpack, and never beyond its end.
struct Reader<'a> {
    b: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], String> {
        if n > self.b.len() {
            return Err(format!("msgpack: {n} bytes are wanted and {} are there", self.b.len()));
        }
        let (taken, rest) = self.b.split_at(n);
        self.b = rest;
        Ok(taken)
    }

    fn size(&mut self, bytes: usize) -> Result<usize, String> {
        Ok(self.take(bytes)?.iter().fold(0, |n, b| n << 8 | *b as usize))
    }

    fn map(&mut self) -> Result<usize, String> {
        match self.take(1)?[0] {
            c @ 0x80..=0x8f => Ok((c & 15) as usize),
            0xde => self.size(2),
            0xdf => self.size(4),
            c => Err(format!("msgpack: a map is needed, not {c:#04x}")),
        }
    }

    fn string(&mut self) -> Result<&'a str, String> {
        let n = match self.take(1)?[0] {
            c @ 0xa0..=0xbf => (c & 31) as usize,
            0xd9 => self.size(1)?,
            0xda => self.size(2)?,
            0xdb => self.size(4)?,
            c => return Err(format!("msgpack: text is needed, not {c:#04x}")),
        };
        std::str::from_utf8(self.take(n)?).map_err(|e| format!("msgpack: {e}"))
    }

    /// One value of any kind, undecoded.
    fn value(&mut self, depth: u32) -> Result<&'a [u8], String> {
        let begin = self.b;
        let c = self.take(1)?[0];
        let (bytes, values) = match c {
            0x80..=0x8f => (0, 2 * (c & 15) as usize),
            0x90..=0x9f => (0, (c & 15) as usize),
            0xa0..=0xbf => ((c & 31) as usize, 0),
            0xc4 | 0xd9 => (self.size(1)?, 0),
            0xc5 | 0xda => (self.size(2)?, 0),
            0xc6 | 0xdb => (self.size(4)?, 0),
            0xcc | 0xd0 => (1, 0),
            0xcd | 0xd1 => (2, 0),
            0xca | 0xce | 0xd2 => (4, 0),
            0xcb | 0xcf | 0xd3 => (8, 0),
            0xdc => (0, self.size(2)?),
            0xdd => (0, self.size(4)?),
            0xde => (0, 2 * self.size(2)?),
            0xdf => (0, self.size(4)?.checked_mul(2).ok_or("msgpack: too long")?),
            0x00..=0x7f | 0xc0 | 0xc2 | 0xc3 | 0xe0..=0xff => (0, 0),
            _ => return Err(format!("msgpack: {c:#04x} is not in the contract")),
        };
        self.take(bytes)?;
        if values > 0 && depth == 0 {
            return Err("msgpack: nested too deep".to_string());
        }
        for _ in 0..values {
            self.value(depth - 1)?;
        }
        Ok(&begin[..begin.len() - self.b.len()])
    }
}
