package backup

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const dumpHead = "/*M!999999\\- enable the sandbox mode */ \n-- MariaDB dump\n\n" +
	"CREATE TABLE `m_files` (\n  `id` bigint(10) NOT NULL,\n  `contenthash` varchar(40) NOT NULL DEFAULT '',\n" +
	"  `filename` varchar(255),\n  `filesize` bigint(10),\n  `referencefileid` bigint(10) DEFAULT NULL,\n  PRIMARY KEY (`id`)\n) ENGINE=InnoDB;\n"

const someHash = "da39a3ee5e6b4b0d3255bfef95601890afd80709"

func scanAll(t testing.TB, dump string, chunk int) (*dumpScan, []string, error) {
	t.Helper()
	var seen []string
	scan := newDumpScan("m_files", func(hash, size []byte, alias bool) error {
		seen = append(seen, fmt.Sprintf("%s %s %v", hash, size, alias))
		return nil
	})
	for len(dump) > 0 {
		n := min(chunk, len(dump))
		if _, err := scan.Write([]byte(dump[:n])); err != nil {
			return scan, seen, err
		}
		dump = dump[n:]
	}
	return scan, seen, nil
}

func TestDumpScanReadsFileRows(t *testing.T) {
	for name, test := range map[string]struct {
		rows string
		want []string
	}{
		"one row a line": {
			"INSERT INTO `m_files` VALUES\n(1,'" + someHash + "','a',0,NULL),\n(2,'" + someHash + "','b',12,7);\n",
			[]string{someHash + " 0 false", someHash + " 12 true"},
		},
		"all rows in one line": {
			"INSERT INTO `m_files` VALUES (1,'" + someHash + "','a',0,NULL),(2,'" + someHash + "','b',12,7);\n",
			[]string{someHash + " 0 false", someHash + " 12 true"},
		},
		"hexadecimal": {
			"INSERT INTO `m_files` VALUES\n(1,0x64613339,'a',0,NULL);\n",
			[]string{"da39 0 false"},
		},
		"quotes, brackets and backslashes in a name": {
			`INSERT INTO ` + "`m_files`" + ` VALUES` + "\n" + `(1,'aa','it\'s);(,''\\',5,NULL),` + "\n" + `(2,_binary 'bb','\\\'',6,NULL);` + "\n",
			[]string{"aa 5 false", "bb 6 false"},
		},
		"columns named": {
			"INSERT INTO `m_files` (`filesize`, `contenthash`) VALUES\n(9,'cc');\n",
			[]string{"cc 9 false"},
		},
		"two statements": {
			"INSERT INTO `m_files` VALUES\n(1,'a1','a',0,NULL);\nINSERT INTO `m_files` VALUES\n(1,'a2','a',0,NULL);\n",
			[]string{"a1 0 false", "a2 0 false"},
		},
		"rows of another table that look like ours": {
			"INSERT INTO `other` VALUES\n(1,'INSERT INTO `m_files` VALUES\\n(1,\\'aa\\',\\'b\\',1,NULL);'),\n(2,'x');\n", nil,
		},
	} {
		for _, chunk := range []int{1, 2, 7, 64, 1 << 20} {
			_, seen, err := scanAll(t, dumpHead+test.rows, chunk)
			if err != nil || !slices.Equal(seen, test.want) {
				t.Errorf("%s, in chunks of %d: got %q, %v; want %q", name, chunk, seen, err, test.want)
			}
		}
	}
}

func TestDumpScanCounts(t *testing.T) {
	dump := dumpHead +
		"CREATE TABLE `empty` (\n  `id` int\n);\n" +
		"INSERT INTO `plain` VALUES\n(1,'a;'),\n(2,'b');\nINSERT INTO `plain` VALUES\n(3,'c');\n" +
		"INSERT INTO `wide` VALUES (1,'a;('),(2,'b\\''),(3,'c');\n" +
		"DELIMITER ;;\n/*!50003 CREATE*/ /*!50017 DEFINER=`root`@`localhost`*/ /*!50003 trigger t1 before insert on plain for each row begin set new.id=1; end \n*/;;\nDELIMITER ;\n" +
		"/*!50001 CREATE VIEW `v1` AS SELECT\n NULL AS `id` */;\n" +
		"/*!50106 DROP EVENT IF EXISTS `e1` */;\nDELIMITER ;;\n/*!50003 SET time_zone = 'SYSTEM' */ ;;\n" +
		"/*!50106 CREATE*/ /*!50117 DEFINER=`we``ird EVENT`@`%`*/ /*!50106 EVENT `e1` ON SCHEDULE EVERY 1 DAY DO select 1 \n*/ ;;\n/*!50106 DROP EVENT IF EXISTS `e2` */;;\n" +
		"DELIMITER ;;\n/*!50106 CREATE*/ /*!50117 DEFINER=`r`@`%`*/ /*!50106 EVENT `e2` ON SCHEDULE EVERY 1 DAY DO begin\nCREATE TRIGGER x;\nend \n*/ ;;\nDELIMITER ;\n" +
		"DELIMITER ;;\nCREATE DEFINER=`x TRIGGER y`@`%` PROCEDURE `p1`()\nbegin select 1;\nCREATE TABLE `evil` (id int);\nINSERT INTO `m_files` VALUES (1);\nend\n;;\nDELIMITER ;\n" +
		"DELIMITER ;;\nCREATE DEFINER=`a`@`b` FUNCTION `f1`() RETURNS int(11)\nreturn 1\n;;\nDELIMITER ;\n" +
		"/*!50001 CREATE ALGORITHM=UNDEFINED */\n/*!50013 DEFINER=`r`@`l` SQL SECURITY DEFINER */\n/*!50001 VIEW `v1` AS select 1 */;\n" +
		"\n-- Dump completed\n"
	for _, chunk := range []int{1, 3, 100, 1 << 20} {
		scan, _, err := scanAll(t, dump, chunk)
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(scan.rows, scan.views, scan.triggers, scan.events, scan.routines, scan.completed)
		if want := "map[empty:0 m_files:0 plain:3 wide:3] 1 1 2 2 true"; got != want {
			t.Errorf("in chunks of %d: got  %s\nwant %s", chunk, got, want)
		}
		if want := int64(len("INSERT INTO `wide` VALUES (1,'a;('),(2,'b\\''),(3,'c');")); scan.longest != want {
			t.Errorf("in chunks of %d: longest statement %d, want %d", chunk, scan.longest, want)
		}
	}
}

func TestDumpScanIsNotCompleteWithoutItsLastLine(t *testing.T) {
	for name, end := range map[string]string{
		"nothing":                  "",
		"more after it":            "-- Dump completed\nINSERT INTO `x` VALUES\n(1);\n",
		"cut inside of it":         "-- Dump com",
		"cut before its line ends": "-- Dump completed",
	} {
		if scan, _, err := scanAll(t, dumpHead+end, 10); err != nil || scan.completed {
			t.Errorf("%s: taken for complete (%v)", name, err)
		}
	}
}

func TestDumpScanRefusesRowsItDoesNotUnderstand(t *testing.T) {
	for _, rows := range []string{
		"INSERT INTO `m_files` VALUES\n(1,'aa');\n",
		"INSERT INTO `m_files` (`id`) VALUES\n(1);\n",
		"INSERT INTO `m_files` VALUES\n(1,0xZZ,'a',1,NULL);\n",
	} {
		if _, _, err := scanAll(t, dumpHead+rows, 5); err == nil {
			t.Errorf("%q was taken", rows)
		}
	}
}

// FuzzDumpScan: no input breaks the scan, and how it is cut into pieces does not matter.
func FuzzDumpScan(f *testing.F) {
	f.Add(dumpHead+"INSERT INTO `m_files` VALUES\n(1,'aa','it\\'s',5,NULL);\n-- Dump completed\n", 3)
	f.Add("INSERT INTO `x` (`a`, `b``c`) VALUES (1,0x00),(2,_binary '\\'');\nDELIMITER ;;\nCREATE FUNCTION f\n;;\nDELIMITER ;\n", 1)
	f.Fuzz(func(t *testing.T, dump string, chunk int) {
		if chunk <= 0 {
			return
		}
		whole, all, err := scanAll(t, dump, len(dump)+1)
		parts, some, partErr := scanAll(t, dump, chunk)
		if (err == nil) != (partErr == nil) || err == nil && (!slices.Equal(all, some) ||
			fmt.Sprint(whole.rows, whole.views, whole.triggers, whole.events, whole.routines, whole.completed, whole.longest) !=
				fmt.Sprint(parts.rows, parts.views, parts.triggers, parts.events, parts.routines, parts.completed, parts.longest)) {
			t.Errorf("pieces of %d bytes change what is read from %s", chunk, strings.ToValidUTF8(dump, "?"))
		}
	})
}
