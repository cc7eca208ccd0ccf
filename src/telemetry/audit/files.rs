//! The files of the audit: one that is written, and older ones that are kept for a while.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// The file that is written.
pub(super) const CURRENT: &str = "audit.jsonl";

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes after which a new file is begun; so it is with every day (UTC).
    pub file_size: usize,
    /// Older files that are kept beside the one that is written.
    pub files: usize,
    /// Days for which they are kept.
    pub days: u32,
}

/// The files of one folder, open for writing. Nothing that stands in one is ever changed.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    file: File,
    size: usize,
    /// The day (UTC) of what is in the file.
    day: Date,
    /// Whether the last line may lack its end.
    is_torn: bool,
}

impl Files {
    /// Goes on with the file that is there.
    pub(super) fn open(folder: &Path, now: Timestamp) -> io::Result<Self> {
        let mut make = DirBuilder::new();
        make.recursive(true).mode(0o700).create(folder)?;
        let file = append_to(&folder.join(CURRENT))?;
        let about = file.metadata()?;
        let written = about.modified().ok();
        let written = written.and_then(|time| Timestamp::try_from(time).ok());
        Ok(Self {
            size: usize::try_from(about.len()).unwrap_or(usize::MAX),
            // A line that ends in the middle of it must not become a part of the next one.
            is_torn: !ends_with_a_line(&file)?,
            day: day_of(written.unwrap_or(now)),
            folder: folder.to_owned(),
            file,
        })
    }

    /// Writes whole lines behind the others.
    pub(super) fn append(
        &mut self,
        lines: &[u8],
        bounds: Bounds,
        now: Timestamp,
    ) -> io::Result<()> {
        if self.is_due(bounds, now) {
            self.tidy(bounds, now)?;
        }
        if self.size == 0 {
            self.day = day_of(now);
        }
        if self.is_torn {
            self.file.write_all(b"\n")?;
        }
        self.is_torn = true;
        self.file.write_all(lines)?;
        self.is_torn = false;
        self.size += lines.len();
        Ok(())
    }

    /// Waits until everything is on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Begins a new file when the old one is large enough or of another day, and removes what is no
    /// longer kept.
    pub(super) fn tidy(&mut self, bounds: Bounds, now: Timestamp) -> io::Result<()> {
        if self.is_due(bounds, now) {
            self.turn_over(now)?;
        }
        self.remove_old(bounds, now)
    }

    fn is_due(&self, bounds: Bounds, now: Timestamp) -> bool {
        self.size > 0 && (self.size >= bounds.file_size || self.day != day_of(now))
    }

    fn turn_over(&mut self, now: Timestamp) -> io::Result<()> {
        self.sync()?;
        let last = kept(&self.folder)?.pop();
        let first = last.map_or(0, |last| number_after(&last, now));
        // An empty file takes the name, so that nobody else who writes here takes the same one.
        let kept = (first..).find_map(|n| {
            let path = self.folder.join(kept_name(now, n));
            let mut reserve = OpenOptions::new();
            reserve.write(true).create_new(true).mode(0o600);
            match reserve.open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                reserved => Some(reserved.map(|_| path)),
            }
        });
        let current = self.folder.join(CURRENT);
        if let Some(kept) = kept {
            fs::rename(&current, kept?)?;
        }
        self.file = append_to(&current)?;
        (self.size, self.is_torn) = (0, false);
        Ok(())
    }

    fn remove_old(&self, bounds: Bounds, now: Timestamp) -> io::Result<()> {
        let kept = kept(&self.folder)?;
        let days = SignedDuration::from_hours(24 * i64::from(bounds.days));
        let oldest = now.checked_sub(days).unwrap_or(Timestamp::MIN);
        let oldest = self.folder.join(kept_name(oldest, 0));
        let too_many = kept.len().saturating_sub(bounds.files);
        for (n, path) in kept.iter().enumerate() {
            if n < too_many || *path < oldest {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut open = OpenOptions::new();
    open.read(true).append(true).create(true).mode(0o600);
    open.open(path)
}

fn ends_with_a_line(mut file: &File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

fn day_of(time: Timestamp) -> Date {
    time.to_zoned(TimeZone::UTC).date()
}

/// Names sort as their times do; several of the same second are numbered.
fn kept_name(time: Timestamp, n: u32) -> String {
    format!("{}{n:03}.jsonl", prefix(time))
}

fn prefix(time: Timestamp) -> String {
    time.strftime("audit-%Y%m%dT%H%M%S-").to_string()
}

/// The number for a file of that time that comes behind this one.
fn number_after(last: &Path, time: Timestamp) -> u32 {
    let name = last.file_stem().and_then(|name| name.to_str());
    let number = name.and_then(|name| name.strip_prefix(&prefix(time)));
    number
        .and_then(|number| number.parse::<u32>().ok())
        .map_or(0, |number| number.saturating_add(1))
}

/// The older files, the oldest first.
pub(super) fn kept(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let is_json = path.extension().is_some_and(|end| end == "jsonl");
        if is_json && name.is_some_and(|name| name.starts_with("audit-")) {
            kept.push(path);
        }
    }
    kept.sort();
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    const BOUNDS: Bounds = Bounds {
        file_size: 10,
        files: 3,
        days: 7,
    };

    fn time(hours: i64) -> Timestamp {
        let start: Timestamp = "2026-11-22T00:00:00Z".parse().unwrap();
        start + SignedDuration::from_hours(hours)
    }

    fn files() -> (TempDir, Files) {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::open(&folder.path().join("audit"), time(0)).unwrap();
        (folder, files)
    }

    fn contents(files: &Files) -> Vec<String> {
        let mut paths = kept(&files.folder).unwrap();
        paths.push(files.folder.join(CURRENT));
        let read = |path| fs::read_to_string(path).unwrap();
        paths.into_iter().map(read).collect()
    }

    #[test]
    fn a_file_that_is_large_enough_or_of_another_day_makes_room_for_a_new_one() {
        let (_folder, mut files) = files();
        for (line, hours) in [("12345\n", 0), ("67890\n", 1), ("a\n", 1), ("b\n", 24)] {
            files.append(line.as_bytes(), BOUNDS, time(hours)).unwrap();
        }
        assert_eq!(contents(&files), ["12345\n67890\n", "a\n", "b\n"]);
    }

    #[test]
    fn no_more_files_are_kept_than_are_wanted_and_none_for_longer() {
        let (_folder, mut files) = files();
        for n in 0..9 {
            files
                .append(format!("line {n:04}\n").as_bytes(), BOUNDS, time(0))
                .unwrap();
        }
        assert_eq!(
            contents(&files),
            ["line 0005\n", "line 0006\n", "line 0007\n", "line 0008\n"]
        );
        // Nothing has to be written for that.
        files.tidy(BOUNDS, time(24)).unwrap();
        files.tidy(BOUNDS, time(24 * 8 + 1)).unwrap();
        assert_eq!(contents(&files), [""]);
    }

    #[test]
    fn what_broke_off_does_not_spoil_what_comes_behind_it() {
        let (folder, files) = files();
        drop(files);
        let audit = folder.path().join("audit");
        fs::write(audit.join(CURRENT), "{\"half").unwrap();
        let mut files = Files::open(&audit, time(0)).unwrap();
        let bounds = Bounds {
            file_size: 1000,
            ..BOUNDS
        };
        for line in ["one\n", "two\n"] {
            files.append(line.as_bytes(), bounds, time(0)).unwrap();
        }
        let lines = contents(&files).join("|");
        let lines: Vec<_> = lines.split(['|', '\n']).collect();
        assert!(lines.contains(&"{\"half") && lines.contains(&"one") && lines.contains(&"two"));
    }

    #[test]
    fn two_who_write_into_the_same_folder_take_nothing_from_each_other() {
        let (_folder, mut one) = files();
        let mut other = Files::open(&one.folder, time(0)).unwrap();
        let bounds = Bounds {
            files: 99,
            ..BOUNDS
        };
        let mut written = Vec::new();
        for n in 10..20 {
            for (name, files) in [("a", &mut one), ("b", &mut other)] {
                let line = format!("{name}{n}\n");
                files.append(line.as_bytes(), bounds, time(0)).unwrap();
                written.push(line);
            }
        }
        let kept = contents(&one).concat();
        let mut kept: Vec<_> = kept.split_inclusive('\n').collect();
        kept.sort_unstable();
        written.sort_unstable();
        assert_eq!(kept, written);
    }

    #[test]
    fn nobody_else_can_read_them() {
        use std::os::unix::fs::PermissionsExt;
        let (_folder, files) = files();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&files.folder), 0o700);
        assert_eq!(mode(&files.folder.join(CURRENT)), 0o600);
    }
}
