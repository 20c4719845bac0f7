package sqlite

import "modernc.org/libc/sys/types"

func sizeOf(n int) types.Size_t { return types.Size_t(n) }
