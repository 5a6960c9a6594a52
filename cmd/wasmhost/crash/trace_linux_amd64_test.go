package crash

import "golang.org/x/sys/unix"

func init() { kinds[unix.SYS_UNLINK] = unlinks } // newer architectures have unlinkat only
