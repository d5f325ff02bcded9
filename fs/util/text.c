// SPDX-License-Identifier: Apache-2.0
/* Text of others as one line of UTF-8 (include/fabricfs/buf.h). */
#include <fabricfs/buf.h>

/* Bytes of the UTF-8 character at s, 0 = it is none. */
static unsigned utf8_len(const unsigned char *s)
{
	unsigned n = s[0] < 0x80 ? 1 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3 :
		     s[0] >= 0xf0 && s[0] < 0xf5 ? 4 : 0;

	for (unsigned i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, beyond U+10FFFF. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return n;
}

void text_clean(const char *text, struct buf *out)
{
	const unsigned char *s = (const unsigned char *)text;

	while (*s) {
		unsigned n = utf8_len(s);

		if (!n)
			buf_adds(out, "?");
		else if ((n == 1 && (*s < 0x20 || *s == 0x7f)) || (*s == 0xc2 && s[1] < 0xa0))
			buf_adds(out, " ");
		else
			buf_add(out, s, n);
		s += n ? n : 1;
	}
}
