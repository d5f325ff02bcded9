# SPDX-License-Identifier: Apache-2.0
# parts.tsv as C: the table of fabricfs/part.h. A row that is not one stops the build.
BEGIN {
	FS = "\t"
	print "/* Made from backend/image/parts.tsv: change that. */"
	print "#include <fabricfs/part.h>\n"
	print "const struct image_part image_parts[] = {"
}
/^#/ || /^$/ { next }
NF != 6 || $4 !~ /^[0-9a-f]+$/ || length($4) != 8 || ($5 != "0fffffff" && $5 != "ffffffff") {
	printf "%s:%d: not a part: six columns are wanted, idcode and mask of eight hex digits\n", FILENAME, FNR > "/dev/stderr"
	bad = 1
	exit 1
}
{ printf "\t{ \"%s\", \"%s\", \"%s\", 0x%s, 0x%s },\n", $1, $2, $3, $4, $5; n++ }
END {
	if (bad || !n)
		exit 1
	print "};\n\nconst size_t image_parts_len = sizeof(image_parts) / sizeof(image_parts[0]);"
}
