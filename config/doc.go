// Package config reads the host's configuration.
//
// Four layers are put on top of each other, each one overriding the ones
// before it key by key:
//
//  1. defaults, as listed at the fields of [Config];
//  2. a TOML file, by default wasmhost.toml in the working directory if there
//     is one. Paths in it are relative to the folder the file is in;
//  3. environment variables that begin with WASMHOST_. Two underscores stand
//     between levels: WASMHOST_DATA__HANDLES__PRIMARY__PATH sets
//     data.handles.primary.path. Names are lower-cased, except below
//     settings, where case counts: WASMHOST_SETTINGS__archive__batchSize.
//     WASMHOST_CONFIG names the file;
//  4. flags of the command line.
//
// Loading is strict. A key that does not exist, a value of the wrong type or
// out of its range, a grant on a handle that is not configured: each is a
// [Problem] that names the key, where it was set and what is allowed, and
// [Load] reports all of them at once as [Problems] instead of starting a host
// that is set up differently from what its operator believes.
//
// A [Config] remembers which layer each value came from; see
// [Config.Effective]. It is not changed after it was loaded and may be read
// from several goroutines.
package config
