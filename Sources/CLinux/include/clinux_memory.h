/// What start-up leaves behind in memory.
#pragma once

/// Gives the pages of the program's and its libraries' code and constants back, which start-up read once: option
/// parsing, configuration, type metadata. What is needed again comes back from the page cache by a minor fault. Only
/// mappings that were never writable are touched, so nothing can be lost.
void clinux_release_startup_pages(void);
