//! Tar (POSIX ustar) of plain files, as far as backups need it: written by the server, read by the command.

use std::io::{self, Read};

use tideline_engine::error::{Error, Result};

/// Everything is in blocks of this size.
pub const BLOCK: usize = 512;
/// Two empty blocks: nothing follows.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// Room for the name.
const NAME: usize = 100;
/// The largest size in 11 octal digits.
const MAX_BYTES: u64 = 0o77_777_777_777;

/// Bytes that fill the last block of a file.
pub fn padding(bytes: u64) -> usize {
    (BLOCK - usize::try_from(bytes % BLOCK as u64).unwrap_or(0)) % BLOCK
}

/// The header of a file, readable by its owner alone.
///
/// # Errors
/// When the name or the size does not fit.
pub fn header(name: &str, bytes: u64, modified_s: i64) -> Result<[u8; BLOCK]> {
    if name.is_empty() || name.len() > NAME || bytes > MAX_BYTES {
        return Err(Error::internal(format!("{name} with {bytes} bytes does not fit into a tar file")));
    }
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000600\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{bytes:011o}\0"));
    put(136, &format!("{:011o}\0", modified_s.clamp(0, 0o77_777_777_777)));
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(block)
}

/// Reads the next header; `None` at the end.
///
/// # Errors
/// When it is not a header of a plain file, and the reader's.
pub fn next(from: &mut impl Read) -> Result<Option<(String, u64)>> {
    let broken = |what: &str| Error::corrupt(format!("what arrived is no backup: {what}"));
    let mut block = [0; BLOCK];
    from.read_exact(&mut block).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => Error::internal("the transfer broke off: the server's log says why"),
        _ => Error::internal(format!("the transfer broke off: {e}")),
    })?;
    if block.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    let octal = |field: &[u8]| {
        let digits: String = field.iter().map(|&b| char::from(b)).take_while(char::is_ascii_digit).collect();
        u64::from_str_radix(&digits, 8).ok()
    };
    let mut sum = 0;
    for (at, &byte) in block.iter().enumerate() {
        sum += u64::from(if (148..156).contains(&at) { b' ' } else { byte });
    }
    if &block[257..262] != b"ustar" || block[156] != b'0' || octal(&block[148..156]) != Some(sum) {
        return Err(broken("it has something else than files"));
    }
    let name = block[..NAME].split(|&byte| byte == 0).next().unwrap_or_default();
    let name = std::str::from_utf8(name).map_err(|_| broken("a name is no text"))?;
    let bytes = octal(&block[124..136]).ok_or_else(|| broken("a size is no number"))?;
    Ok(Some((name.to_owned(), bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_back_and_a_damaged_one_refused() {
        let name = "lake/event_date=2026-01-31/part-7704909f-e77e-41e6-8d45-f226375eef65.zstd.parquet";
        let block = header(name, 8_589_934_591, 1_772_323_200).unwrap();
        assert_eq!(next(&mut &block[..]).unwrap(), Some((name.to_owned(), 8_589_934_591)));
        for at in [0, 60, 125, 156, 260] {
            let mut damaged = block;
            damaged[at] ^= 1;
            assert!(next(&mut &damaged[..]).is_err(), "{at}");
        }
        assert_eq!(next(&mut &END[..]).unwrap(), None);
        assert!(next(&mut &block[..100]).unwrap_err().message.contains("broke off"));
        assert!(header(&"x".repeat(101), 1, 0).is_err() && header("x", 1 << 33, 0).is_err());
        assert_eq!((padding(0), padding(1), padding(512)), (0, 511, 0));
    }
}
