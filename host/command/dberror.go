package command

import (
	"errors"

	"github.com/wasmhost/wasmhost/abi"
)

// DBError gives a failure of the host's database its code, by SQLite's primary
// result code, https://sqlite.org/rescode.html.
func DBError(doing string, err error) error {
	code := abi.CodeOf(err)
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		switch coded.Code() & 0xff {
		case 5, 6, 10, 14: // BUSY, LOCKED, IOERR, CANTOPEN
			code = abi.Unavailable
		case 8: // READONLY
			code = abi.ReadOnly
		case 11, 26: // CORRUPT, NOTADB
			code = abi.Corrupt
		case 13: // FULL
			code = abi.Full
		}
	}
	return abi.Errorf(code, "%s: %w", doing, err)
}
