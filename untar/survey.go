package untar

import "golang.org/x/sys/unix"

// Survey returns what statfs(2) tells about the file system of a directory: its free space,
// its name, as in mount(8), and the flags of its mount (f_flags), of which the lowest four bits
// are ST_RDONLY, ST_NOSUID, ST_NODEV and ST_NOEXEC.
func Survey(dir string) (room Room, name string, flags int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return room, "", 0, pathError("statfs", dir, err)
	}
	return roomOf(&st), fsName(int64(st.Type)), int64(st.Flags), nil
}
