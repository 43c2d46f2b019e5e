package backup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"
)

// source is one tree, or one file, that goes into an archive.
type source struct {
	root string // directory that nothing in it may lead out of
	path string // what to take, relative to root; "." for all
	name string // what it is called in the archive, "." for its top
}

// archive is a tar file of some trees. It is deterministic: names are sorted, and nothing but the content
// and the attributes of the files goes into it.
type archive struct {
	sources []source
	// extra files have no counterpart on disk. Their owner is root, their time that of the epoch.
	extra []extraFile
	// skip leaves out an entry (and all below it), or only what is below it.
	skip func(name string, info fs.FileInfo) skipping
	run  Run
	// special is told of sockets, pipes and devices. They hold nothing, and those of a server stand in its
	// directory every day.
	special func(string)
}

type extraFile struct {
	name    string
	content []byte
}

type skipping int

const (
	takeAll skipping = iota
	takeEmpty
	takeNothing
)

// write makes the tar file. What cannot be taken as it is goes to note; only a tree that cannot be read
// at all, or the output, is an error.
func (a *archive) write(ctx context.Context, to io.Writer, note func(string)) error {
	out := tar.NewWriter(to)
	for _, extra := range a.extra {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: extra.name, Mode: 0o600, Size: int64(len(extra.content)), ModTime: time.Unix(0, 0)}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := out.Write(extra.content); err != nil {
			return err
		}
	}
	links := map[[2]uint64]string{}
	buffer := make([]byte, copyBuffer)
	err := a.walk(ctx, func(e entry) error { return a.put(out, e, links, buffer, note) }, note)
	if err != nil {
		return err
	}
	return out.Close()
}

// put writes one entry.
func (a *archive) put(out *tar.Writer, e entry, links map[[2]uint64]string, buffer []byte, note func(string)) error {
	status := e.info.Sys().(*syscall.Stat_t)
	if e.info.Mode().IsRegular() && status.Nlink > 1 {
		key := [2]uint64{status.Dev, status.Ino}
		if first, known := links[key]; known {
			header, err := headerOf(e, e.info)
			if err != nil {
				return err
			}
			header.Typeflag, header.Linkname, header.Size = tar.TypeLink, first, 0
			return out.WriteHeader(header)
		}
		written, err := a.putFile(out, e, buffer, note)
		if written {
			links[key] = tarName(e.name)
		}
		return err
	}
	if !e.info.Mode().IsRegular() {
		header, err := headerOf(e, e.info)
		if err != nil {
			return err
		}
		return out.WriteHeader(header)
	}
	_, err := a.putFile(out, e, buffer, note)
	return err
}

// putFile writes a regular file as it is at the moment it is opened: what is added to it later is cut
// off, what is taken away meanwhile becomes zeros, and the latter is noted.
func (a *archive) putFile(out *tar.Writer, e entry, buffer []byte, note func(string)) (written bool, err error) {
	file, err := e.root.OpenFile(e.path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		note("cannot be read: " + e.name)
		return false, nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		note("changed while it was read: " + e.name)
		return false, nil
	}
	header, err := headerOf(e, info)
	if err != nil {
		return false, err
	}
	// A small file is read before its header is written, and so is never torn.
	if info.Size() < int64(len(buffer)) {
		n, err := io.ReadFull(file, buffer)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			note("cannot be read: " + e.name)
			return false, nil
		}
		header.Size = int64(n)
		if err := out.WriteHeader(header); err != nil {
			return false, err
		}
		_, err = out.Write(buffer[:n])
		a.run.Add(int64(n))
		return true, err
	}
	if err := out.WriteHeader(header); err != nil {
		return false, err
	}
	content := &paddedReader{from: file, left: header.Size}
	_, err = io.CopyBuffer(struct{ io.Writer }{io.MultiWriter(out, progress{a.run})}, content, buffer)
	if content.torn {
		note("changed while it was read: " + e.name)
	}
	return true, err
}

// paddedReader gives exactly left bytes, zeros where the file has ended or cannot be read any more.
type paddedReader struct {
	from io.Reader
	left int64
	torn bool
}

func (r *paddedReader) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), r.left)]
	n := 0
	if !r.torn {
		var err error
		if n, err = r.from.Read(p); err != nil {
			r.torn = true
		}
	}
	if r.torn {
		clear(p[n:])
		n = len(p)
	}
	r.left -= int64(n)
	return n, nil
}

func headerOf(e entry, info fs.FileInfo) (*tar.Header, error) {
	header, err := tar.FileInfoHeader(info, e.link)
	if err != nil {
		return nil, fmt.Errorf("archive %s: %w", e.name, err)
	}
	header.Name = tarName(e.name)
	if info.IsDir() {
		header.Name += "/"
	}
	// Whole seconds, and no times that reading changes: equal content gives equal archives.
	header.ModTime = info.ModTime().Truncate(time.Second)
	header.AccessTime, header.ChangeTime = time.Time{}, time.Time{}
	header.Devmajor, header.Devminor = 0, 0
	// The pax format is for names in UTF-8; GNU's takes any bytes.
	if !utf8.ValidString(header.Name + header.Linkname) {
		header.Format = tar.FormatGNU
	}
	return header, nil
}

// tarName makes names relative in the way that tar itself writes them.
func tarName(name string) string {
	if name == "." || strings.HasPrefix(name, "./") {
		return name
	}
	return "./" + name
}
