//! What clients send, read with every length held against what is there.
//!
//! The messages going out are pgwire's. Those coming in are read here: its decoder takes lengths at their word (a
//! short message panics) and accepts a gigabyte from whoever connects, before anybody is asked for a password.

use bytes::{Buf, Bytes};

/// One message of a client that was let in.
#[derive(Debug, PartialEq, Eq)]
pub enum Frontend {
    /// Text to run at once.
    Query(String),
    /// Text to be run later, by a name.
    Parse {
        /// Of the statement; empty for the one without.
        name: String,
        /// The text.
        sql: String,
        /// Types of its parameters; 0 where the client does not say.
        types: Vec<u32>,
    },
    /// A statement with values.
    Bind(Bind),
    /// What are its parameters and columns?
    Describe(Target),
    /// Run a portal.
    Execute {
        /// Its name.
        portal: String,
        /// The most rows; 0 is all.
        max_rows: usize,
    },
    /// Forget it.
    Close(Target),
    /// The end of a group of messages.
    Sync,
    /// Send what there is.
    Flush,
    /// Good-bye.
    Terminate,
    /// A password.
    Password(String),
    /// A message for a COPY that was refused.
    Copy,
    /// The call of a function by its number.
    FunctionCall,
}

/// Values for a statement.
#[derive(Debug, PartialEq, Eq)]
pub struct Bind {
    /// The portal's name.
    pub portal: String,
    /// The statement's name.
    pub statement: String,
    /// How the values are written: of all, or of each.
    pub value_formats: Vec<i16>,
    /// The values.
    pub values: Vec<Option<Bytes>>,
    /// How the answer's columns are to be written: all, or each.
    pub result_formats: Vec<i16>,
}

/// A statement or a portal.
#[derive(Debug, PartialEq, Eq)]
pub enum Target {
    /// A statement, by name.
    Statement(String),
    /// A portal, by name.
    Portal(String),
}

/// A message that cannot be read: the connection cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Garbled(pub &'static str);

/// Reads a message's body, never beyond its end.
struct Reader(Bytes);

impl Reader {
    fn need(&self, bytes: usize) -> Result<(), Garbled> {
        if self.0.len() < bytes { Err(Garbled("a message is shorter than it says")) } else { Ok(()) }
    }

    fn u8(&mut self) -> Result<u8, Garbled> {
        self.need(1)?;
        Ok(self.0.get_u8())
    }

    fn count(&mut self) -> Result<usize, Garbled> {
        self.need(2)?;
        Ok(usize::from(self.0.get_u16()))
    }

    fn i32(&mut self) -> Result<i32, Garbled> {
        self.need(4)?;
        Ok(self.0.get_i32())
    }

    fn text(&mut self) -> Result<String, Garbled> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Garbled("a text in a message has no end"))?;
        let text = self.0.split_to(end);
        self.0.advance(1);
        let text = std::str::from_utf8(&text).map_err(|_| Garbled("a text in a message is not UTF-8"))?;
        Ok(text.to_owned())
    }

    fn formats(&mut self) -> Result<Vec<i16>, Garbled> {
        let count = self.count()?;
        self.need(count * 2)?;
        Ok((0..count).map(|_| self.0.get_i16()).collect())
    }

    fn value(&mut self) -> Result<Option<Bytes>, Garbled> {
        let length = self.i32()?;
        if length == -1 {
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| Garbled("a value has a negative length"))?;
        self.need(length)?;
        Ok(Some(self.0.split_to(length)))
    }

    fn target(&mut self) -> Result<Target, Garbled> {
        match self.u8()? {
            b'S' => Ok(Target::Statement(self.text()?)),
            b'P' => Ok(Target::Portal(self.text()?)),
            _ => Err(Garbled("what is described or closed is neither a statement nor a portal")),
        }
    }

    fn end(self) -> Result<(), Garbled> {
        if self.0.is_empty() { Ok(()) } else { Err(Garbled("a message is longer than what it holds")) }
    }
}

impl Frontend {
    /// Reads a message of this type.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(kind: u8, body: Bytes) -> Result<Self, Garbled> {
        let mut reader = Reader(body);
        let message = match kind {
            b'Q' => Self::Query(reader.text()?),
            b'P' => {
                let (name, sql, count) = (reader.text()?, reader.text()?, reader.count()?);
                reader.need(count * 4)?;
                Self::Parse { name, sql, types: (0..count).map(|_| reader.0.get_u32()).collect() }
            }
            b'B' => {
                let (portal, statement, value_formats) = (reader.text()?, reader.text()?, reader.formats()?);
                let count = reader.count()?;
                reader.need(count * 4)?;
                let values = (0..count).map(|_| reader.value()).collect::<Result<_, _>>()?;
                Self::Bind(Bind { portal, statement, value_formats, values, result_formats: reader.formats()? })
            }
            b'D' => Self::Describe(reader.target()?),
            b'E' => {
                let portal = reader.text()?;
                Self::Execute { portal, max_rows: usize::try_from(reader.i32()?).unwrap_or(0) }
            }
            b'C' => Self::Close(reader.target()?),
            b'S' => Self::Sync,
            b'H' => Self::Flush,
            b'X' => Self::Terminate,
            b'p' => Self::Password(reader.text()?),
            b'd' | b'c' | b'f' => return Ok(Self::Copy),
            b'F' => return Ok(Self::FunctionCall),
            _ => return Err(Garbled("a message has an unknown type")),
        };
        reader.end()?;
        Ok(message)
    }
}

/// The first packet of a connection, or of one that has become TLS.
#[derive(Debug, PartialEq, Eq)]
pub enum First {
    /// TLS is wanted.
    Tls,
    /// Kerberos encryption is wanted.
    Gss,
    /// A query of another connection is to stop.
    Cancel {
        /// The connection's number.
        process: i32,
        /// What only it was told.
        secret: i32,
    },
    /// A session.
    Startup {
        /// The protocol's minor version.
        minor: u16,
        /// Names and values.
        parameters: Vec<(String, String)>,
    },
    /// A version of the protocol nobody speaks here.
    Version(u16),
}

const CANCEL: u32 = 80_877_102;
const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
/// Parameters of a startup packet.
const MAX_PARAMETERS: usize = 64;

impl First {
    /// Reads the packet after its length.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(body: Bytes) -> Result<Self, Garbled> {
        let mut reader = Reader(body);
        reader.need(4)?;
        let code = reader.0.get_u32();
        let first = match code {
            TLS => Self::Tls,
            GSS => Self::Gss,
            CANCEL => Self::Cancel { process: reader.i32()?, secret: reader.i32()? },
            _ if code >> 16 == 3 => {
                let mut parameters = Vec::new();
                loop {
                    let name = reader.text()?;
                    if name.is_empty() {
                        break;
                    }
                    if parameters.len() == MAX_PARAMETERS {
                        return Err(Garbled("the startup packet has too many parameters"));
                    }
                    parameters.push((name, reader.text()?));
                }
                Self::Startup { minor: (code & 0xffff) as u16, parameters }
            }
            _ => return Ok(Self::Version((code >> 16) as u16)),
        };
        reader.end()?;
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn messages_read_as_they_are_written() {
        let bind = [&b"p\0s\0"[..], &[0, 1, 0, 1, 0, 2, 0, 0, 0, 1, 7, 255, 255, 255, 255, 0, 0]].concat();
        let expected = Bind {
            portal: "p".to_owned(),
            statement: "s".to_owned(),
            value_formats: vec![1],
            values: vec![Some(Bytes::from_static(&[7])), None],
            result_formats: vec![],
        };
        assert_eq!(Frontend::read(b'B', bind.into()), Ok(Frontend::Bind(expected)));
        let parse = Frontend::read(b'P', Bytes::from_static(b"\0SELECT 1\0\0\x01\0\0\0\x17"));
        assert_eq!(parse, Ok(Frontend::Parse { name: String::new(), sql: "SELECT 1".to_owned(), types: vec![23] }));
        let startup = First::read(Bytes::from_static(b"\0\x03\0\0user\0x\0\0"));
        assert_eq!(startup, Ok(First::Startup { minor: 0, parameters: vec![("user".to_owned(), "x".to_owned())] }));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        for (kind, body) in [
            (b'P', &b"\0SELECT 1\0\xff\xff"[..]),
            (b'B', b"\0\0\0\0\xff\xff"),
            (b'B', b"\0\0\0\0\0\x01\0\0\0\x09x\0\0"),
            (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0"),
            (b'Q', b"SELECT 1"),
            (b'Q', b"\xff\0"),
            (b'E', b"\0\0"),
            (b'D', b"X\0"),
            (b'S', b"more"),
            (b'z', b""),
        ] {
            assert!(Frontend::read(kind, Bytes::from_static(body)).is_err(), "{} {body:?}", kind as char);
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(kind: u8, body: Vec<u8>) {
            let _ = Frontend::read(kind, body.clone().into());
            let _ = First::read(body.into());
        }
    }
}
