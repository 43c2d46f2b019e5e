package restore

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/backup"
)

// hostFile is a file of the host's configuration (of nginx, PHP, certificates, …) as the backup has it.
type hostFile struct {
	Name  string // below the root directory, without the first slash
	State fileState
}

// fileState is how a file of the host compares with the one in the backup.
type fileState string

const (
	same      fileState = "same"
	missing   fileState = "missing"
	different fileState = "different"
)

// hostConfig compares the configuration in the backup with that of the host. Only what the backup was told
// to take counts, and never config.php, which belongs to the code.
func (o *Options) hostConfig(ctx context.Context) (files []hostFile, err error) {
	root, err := os.OpenRoot(o.Root)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	err = o.eachConfigFile(ctx, func(header *tar.Header, content io.Reader) error {
		state, err := compare(root, header, content)
		if err == nil && header.Typeflag != tar.TypeDir {
			files = append(files, hostFile{cleanName(header), state})
		}
		return err
	})
	return files, err
}

// eachConfigFile goes through the archive of the configuration, as far as it is the host's.
func (o *Options) eachConfigFile(ctx context.Context, each func(*tar.Header, io.Reader) error) error {
	file, err := o.Reader.Open(ctx, backup.FileOf(backup.Config))
	if err != nil {
		return err
	}
	defer file.Close()
	archive := tar.NewReader(file)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the configuration in the backup: %w", err)
		}
		if name := cleanName(header); o.isHostConfig(name) {
			if err := each(header, archive); err != nil {
				return fmt.Errorf("configuration file /%s: %w", name, err)
			}
		}
	}
	_, err = io.Copy(io.Discard, file) // to its end, where it is proven
	return err
}

// cleanName is the name of an entry below the root directory; "." for one that would lead out of it.
func cleanName(header *tar.Header) string {
	name := path.Clean(strings.TrimSuffix(header.Name, "/"))
	if !fs.ValidPath(name) {
		return "."
	}
	return name
}

// isHostConfig says whether a path may come back from an archive: it must lie where configuration is
// backed up from. An archive that somebody has forged could else bring an account or a key along.
func (o *Options) isHostConfig(name string) bool {
	full := "/" + name
	if name == "." || path.Base(full) == "config.php" && o.Reader.Manifest.Moodle.Code == path.Dir(full) {
		return false
	}
	return slices.ContainsFunc(o.configPaths(), func(pattern string) bool {
		for at := full; at != "/"; at = path.Dir(at) {
			if fits, err := path.Match(pattern, at); err == nil && fits {
				return true
			}
		}
		return false
	})
}

func (o *Options) configPaths() []string {
	if len(o.ConfigPaths) > 0 {
		return o.ConfigPaths
	}
	return backup.DefaultConfigPaths()
}

// compare says how an entry of the archive and what is on the host differ. Owners and modes do not count:
// packages change them, and a restore leaves what is there alone.
func compare(root *os.Root, header *tar.Header, content io.Reader) (fileState, error) {
	name := cleanName(header)
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return missing, nil
	}
	if err != nil {
		return "", err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return stateOf(info.IsDir()), nil
	case tar.TypeSymlink:
		target, err := root.Readlink(name)
		return stateOf(err == nil && target == header.Linkname), nil
	case tar.TypeReg:
	default:
		return different, nil
	}
	if !info.Mode().IsRegular() || info.Size() != header.Size {
		return different, nil
	}
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer file.Close()
	ours, err := digest(file)
	if err != nil {
		return "", err
	}
	theirs, err := digest(content)
	return stateOf(bytes.Equal(ours, theirs)), err
}

func stateOf(equal bool) fileState {
	if equal {
		return same
	}
	return different
}

func digest(from io.Reader) ([]byte, error) {
	sum := sha256.New()
	_, err := io.Copy(sum, from)
	return sum.Sum(nil), err
}
