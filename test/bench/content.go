package main

import (
	"context"
	"crypto/sha1"
	"database/sql"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// content makes what people upload, the same in every run.
type content struct {
	noise  *rand.ChaCha8
	random *rand.Rand
	words  [4096]string
	serial int
}

func newContent() *content {
	c := &content{noise: rand.NewChaCha8([32]byte{1}), random: rand.New(rand.NewPCG(1, 2))}
	for i := range c.words {
		word := make([]byte, 2+c.random.IntN(9))
		for n := range word {
			word[n] = "etaoinshrdlucmfwypvbgkjqxz"[min(c.random.IntN(26), c.random.IntN(26))]
		}
		c.words[i] = string(word) + " "
	}
	return c
}

// bytes are as incompressible as a picture or a film.
func (c *content) bytes(size int) []byte {
	made := make([]byte, size)
	_, _ = c.noise.Read(made) // never fails
	return made
}

// text compresses as a document does, by about two thirds. Frequent words are frequent.
func (c *content) text(size int) []byte {
	made := make([]byte, 0, size+16)
	for len(made) < size {
		bits := c.noise.Uint64()
		for range 4 {
			made = append(made, c.words[bits&4095&(bits>>48)]...)
			bits >>= 12
		}
	}
	return made[:size]
}

// sizes splits a total into so many sizes: many small ones, and a few large ones that hold most of it.
func (c *content) sizes(count int, total int64) []int {
	weights, sum := make([]float64, count), 0.0
	for i := range weights {
		weights[i] = math.Exp(1.5 * c.random.NormFloat64())
		sum += weights[i]
	}
	sizes := make([]int, count)
	for i, weight := range weights {
		sizes[i] = max(16, int(float64(total)*weight/sum))
	}
	return sizes
}

// addFiles stores content, in turn text and noise, with its rows in the table files.
func (h *host) addFiles(ctx context.Context, count int, total int64) error {
	pool, err := sql.Open("mysql", h.database.RootDSN(h.site.Database))
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	var rows []string
	for i, size := range h.content.sizes(count, total) {
		made := h.content.text(size)
		if i%2 == 0 {
			made = h.content.bytes(size)
		}
		h.content.serial++
		binary.BigEndian.PutUint64(made, uint64(h.content.serial)) // small ones differ too
		hash, err := h.site.StoreBlob(made)
		if err != nil {
			return err
		}
		path := sha1.Sum([]byte(hash))
		rows = append(rows, fmt.Sprintf("('%s','%s',%d,'mod_resource','content',0,'/','file-%d.pdf',2,%d,'application/pdf',1700000000,1700000000)",
			hash, hex.EncodeToString(path[:]), 1+i%1000, h.content.serial, size))
		if len(rows) < 500 && i < count-1 {
			continue
		}
		if _, err := pool.ExecContext(ctx, "INSERT INTO `"+h.site.Prefix+"files` "+fileColumns+" VALUES "+strings.Join(rows, ",")); err != nil {
			return fmt.Errorf("add rows to files: %w", err)
		}
		rows = nil
	}
	return nil
}

const fileColumns = "(contenthash, pathnamehash, contextid, component, filearea, itemid, filepath, filename, userid, filesize, mimetype, timecreated, timemodified)"

// grow adds one percent to everything.
func (h *host) grow(ctx context.Context) error {
	if err := h.addFiles(ctx, max(1, h.files/100), h.bytes/100); err != nil {
		return err
	}
	return h.addRows(ctx, h.sql/100)
}
