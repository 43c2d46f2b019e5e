package nginx

import (
	"cmp"
	"net"
	"slices"
	"strings"
)

// DefaultFile is where Debian, Ubuntu and Red Hat keep nginx's configuration.
const DefaultFile = "/etc/nginx/nginx.conf"

// StatusPages are the addresses of the locations with stub_status that this host can ask without TLS at a loopback
// address, by the configuration in file and what it includes. There is no conventional place, and none is guessed.
func StatusPages(file string) ([]string, error) {
	tree, err := readFile(file)
	if err != nil {
		return nil, err
	}
	var found []string
	for _, http := range blocks(tree, "http") {
		for _, server := range blocks(http, "server") {
			for _, path := range statusPaths(server) {
				for _, listen := range loopbacks(server) {
					found = append(found, "http://"+listen+path)
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}

// blocks are the contents of the blocks of a name.
func blocks(in []directive, name string) [][]directive {
	var found [][]directive
	for _, d := range in {
		if d.name == name {
			found = append(found, d.block)
		}
	}
	return found
}

// statusPaths are the paths of the server's locations with stub_status. A location by regular expression has no path
// to ask for, and one inside another says its whole path itself.
func statusPaths(in []directive) []string {
	var paths []string
	for _, d := range in {
		if d.name != "location" || len(d.args) == 0 {
			continue
		}
		path := d.args[len(d.args)-1]
		plain := len(d.args) == 1 || d.args[0] == "=" || d.args[0] == "^~"
		if plain && strings.HasPrefix(path, "/") && !strings.ContainsAny(path, "?#% \"") && len(path) < 256 && len(blocks(d.block, "stub_status")) > 0 {
			paths = append(paths, path)
		}
		paths = append(paths, statusPaths(d.block)...)
	}
	return paths
}

// loopbacks are the addresses of loopback that the server listens at without TLS.
func loopbacks(server []directive) []string {
	var found []string
	for _, d := range server {
		if d.name != "listen" || len(d.args) == 0 || slices.Contains(d.args, "ssl") || slices.Contains(d.args, "proxy_protocol") {
			continue
		}
		host, port, err := net.SplitHostPort(d.args[0])
		if err != nil {
			host, port = strings.Trim(d.args[0], "[]"), ""
		}
		if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
			found = append(found, net.JoinHostPort(host, cmp.Or(port, "80")))
		}
	}
	return found
}

// Names says whether a document root that the configuration in file names, straight or by way of a variable, is wanted.
func Names(file string, wanted func(root string) bool) (bool, error) {
	tree, err := readFile(file)
	if err != nil {
		return false, err
	}
	return names(tree, wanted), nil
}

func names(in []directive, wanted func(root string) bool) bool {
	return slices.ContainsFunc(in, func(d directive) bool {
		named := d.name == "root" && len(d.args) == 1 || d.name == "set" && len(d.args) == 2
		return named && wanted(d.args[len(d.args)-1]) || names(d.block, wanted)
	})
}
