//! The app as the Supervisor sees it: its rules are checked here, since none is asked in these
//! tests.

mod app_files;
mod deploy;
mod option_types;
mod options;
