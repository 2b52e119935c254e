// Package filewatch finds files by patterns, and waits until they have changed.
//
// What a name leads to changes when any directory or symbolic link on the way
// does. So directories are watched, not files: that of each name, those of the
// links that it leads over, and those above, where another directory may take
// their place. An editor's rename, a ConfigMap's exchanged link and a file that
// appears are all seen. Directories of other hosts, and what is mounted over,
// are not: inotify(7) does not tell.
//
// github.com/fsnotify/fsnotify does not say that a writer has closed a file,
// which is what keeps a file from being read half-written.
package filewatch
