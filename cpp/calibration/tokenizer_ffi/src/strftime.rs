//! `strftime_now(format)` of chat templates: the local time, with English names whatever the host's locale is.

use std::fmt::Write;

use minijinja::{Error, ErrorKind};

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub fn strftime_now(format: &str) -> Result<String, Error> {
    // SAFETY: both calls only fill in the structure they are given.
    let now = unsafe {
        let seconds = libc::time(std::ptr::null_mut());
        let mut now: libc::tm = std::mem::zeroed();
        libc::localtime_r(&seconds, &mut now);
        now
    };
    strftime(format, &now)
}

fn strftime(format: &str, time: &libc::tm) -> Result<String, Error> {
    let mut out = String::new();
    let mut rest = format.chars();
    while let Some(character) = rest.next() {
        if character != '%' {
            out.push(character);
            continue;
        }
        let mut directive = rest.next();
        let padded = directive != Some('-');
        if !padded {
            directive = rest.next();
        }
        let day = DAYS[time.tm_wday as usize % 7];
        let month = MONTHS[time.tm_mon as usize % 12];
        let hour12 = (time.tm_hour + 11) % 12 + 1;
        let mut number = |value: i32, width: usize| write!(out, "{value:00$}", if padded { width } else { 0 });
        let written = match directive {
            Some('Y') => number(time.tm_year + 1900, 4),
            Some('y') => number(time.tm_year % 100, 2),
            Some('m') => number(time.tm_mon + 1, 2),
            Some('d') => number(time.tm_mday, 2),
            Some('j') => number(time.tm_yday + 1, 3),
            Some('H') => number(time.tm_hour, 2),
            Some('I') => number(hour12, 2),
            Some('M') => number(time.tm_min, 2),
            Some('S') => number(time.tm_sec, 2),
            Some('A') => out.write_str(day),
            Some('a') => out.write_str(&day[..3]),
            Some('B') => out.write_str(month),
            Some('b') => out.write_str(&month[..3]),
            Some('p') => out.write_str(if time.tm_hour < 12 { "AM" } else { "PM" }),
            Some('%') => out.write_char('%'),
            _ => {
                return Err(Error::new(ErrorKind::InvalidOperation, format!("strftime_now cannot format \"{format}\"")))
            }
        };
        written.expect("writing to a String succeeds");
    }
    Ok(out)
}
