package stand

// AttachMariaDB describes a server that somebody else runs and ends, reached as its account root
// over the unix socket: that of a booted machine, for example. Start, Stop, Kill and Pid are not for it.
func AttachMariaDB(socket string, port int) *MariaDBServer {
	return &MariaDBServer{Socket: socket, Port: port, admin: "root"}
}
