package backup

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// errRow is a row of Moodle's table files that does not look like one. Nobody knows then which content
// files the backup needs.
var errRow = errors.New("a row of the table files is not understood")

// rowScan is the state inside the values of one INSERT.
type rowScan struct {
	wanted                bool // rows of the table files, whose values matter
	hash, size, reference int  // their columns

	inside  bool // a row
	quoted  bool
	escaped bool
	field   int
	value   []byte // of the current field, its beginning
	values  [3][]byte
}

// valueLimit is more than a SHA-1 in hexadecimal of hexadecimal, or any number.
const valueLimit = 128

func newRowScan(wanted bool, columns []string) rowScan {
	return rowScan{
		wanted: wanted, hash: slices.Index(columns, "contenthash"), size: slices.Index(columns, "filesize"),
		reference: slices.Index(columns, "referencefileid"),
	}
}

// values reads on in the values of an INSERT, and returns how much of p it has used: all of it, or as far
// as the statement's end.
func (d *dumpScan) values(p []byte) (int, error) {
	row := &d.row
	for i, c := range p {
		switch {
		case row.escaped:
			row.escaped = false
			row.keep(c)
		case row.quoted:
			row.quoted = c != '\''
			row.escaped = c == '\\'
			if row.quoted {
				row.keep(c)
			}
		case !row.inside && c == '(':
			row.inside, row.field, row.value = true, 0, row.value[:0]
			d.rows[d.table]++
		case !row.inside && c == ';':
			d.statement += int64(i) + 1
			d.endStatement()
			return i + 1, nil
		case !row.inside:
		case c == '\'':
			row.quoted = true
			row.value = row.value[:0] // without a leading _binary
		case c == ',':
			row.endField()
		case c == ')':
			row.endField()
			row.inside = false
			if err := d.endRow(); err != nil {
				return 0, err
			}
		default:
			row.keep(c)
		}
	}
	d.statement += int64(len(p))
	return len(p), nil
}

func (r *rowScan) keep(c byte) {
	if r.wanted && len(r.value) < valueLimit {
		r.value = append(r.value, c)
	}
}

func (r *rowScan) endField() {
	if r.wanted {
		for i, column := range [...]int{r.hash, r.size, r.reference} {
			if column == r.field {
				r.values[i] = append(r.values[i][:0], r.value...)
			}
		}
	}
	r.field++
	r.value = r.value[:0]
}

func (d *dumpScan) endRow() error {
	row := &d.row
	if !row.wanted {
		return nil
	}
	if row.hash < 0 || row.size < 0 || row.field <= max(row.hash, row.size, row.reference) {
		return fmt.Errorf("%w (row %d of %s)", errRow, d.rows[d.table], d.table)
	}
	hash := row.values[0]
	if digits, found := bytes.CutPrefix(hash, []byte("0x")); found {
		decoded, err := hex.AppendDecode(nil, digits)
		if err != nil {
			return fmt.Errorf("%w (row %d of %s)", errRow, d.rows[d.table], d.table)
		}
		hash = decoded
	}
	alias := row.reference >= 0 && string(row.values[2]) != "NULL"
	return d.found(hash, row.values[1], alias)
}

// identifier reads a name in backticks, and returns what follows it.
func identifier(text []byte) (name string, rest []byte) {
	if len(text) == 0 || text[0] != '`' {
		return "", text
	}
	for i := 1; i < len(text); i++ {
		if text[i] != '`' {
			continue
		}
		if i+1 < len(text) && text[i+1] == '`' {
			i++
			continue
		}
		return string(bytes.ReplaceAll(text[1:i], []byte("``"), []byte("`"))), text[i+1:]
	}
	return "", nil
}

// columnList reads the names that stand between a table and VALUES, if any do.
func columnList(text []byte) (columns []string, rest []byte) {
	if !bytes.HasPrefix(text, []byte(" (`")) {
		return nil, text
	}
	rest = text[2:]
	for {
		var name string
		name, rest = identifier(rest)
		columns = append(columns, name)
		if next, more := bytes.CutPrefix(rest, []byte(", ")); more {
			rest = next
			continue
		}
		rest, _ = bytes.CutPrefix(rest, []byte(")"))
		return columns, rest
	}
}
