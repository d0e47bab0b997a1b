/*
 * Decodes data from a pipe with liblzma, so that a test can compare thousands of
 * files per second with it.
 *
 *   cc -O2 -o helper liblzma.c -llzma
 *
 * Request: a letter, the length in four bytes (little endian), the data. The
 * letters are x for .xz (concatenated), l for .lzma, r for LZMA2 data alone with
 * a dictionary of 4 KiB. Reply: lzma_ret as a byte (1, LZMA_STREAM_END, is
 * success; 255 is content above MAX), the content's length, the content.
 */
#include <lzma.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX (1 << 20)

static uint8_t out[MAX + 1];

static lzma_ret start(lzma_stream *s, int form)
{
	switch (form) {
	case 'x':
		return lzma_stream_decoder(s, UINT64_MAX, LZMA_CONCATENATED | LZMA_TELL_UNSUPPORTED_CHECK);
	case 'l':
		return lzma_alone_decoder(s, UINT64_MAX);
	case 'r': {
		lzma_options_lzma opt = { .dict_size = 4096 };
		lzma_filter filters[] = { { LZMA_FILTER_LZMA2, &opt }, { LZMA_VLI_UNKNOWN, NULL } };
		return lzma_raw_decoder(s, filters);
	}
	}
	exit(2);
}

int main(void)
{
	int form;
	while ((form = getchar()) != EOF) {
		uint8_t n[4];
		if (fread(n, 1, 4, stdin) != 4)
			return 1;
		size_t size = n[0] | n[1] << 8 | n[2] << 16 | (size_t)n[3] << 24;
		uint8_t *in = malloc(size + 1);
		if (in == NULL || fread(in, 1, size, stdin) != size)
			return 1;
		lzma_stream s = LZMA_STREAM_INIT;
		lzma_ret ret = start(&s, form);
		s.next_in = in, s.avail_in = size;
		s.next_out = out, s.avail_out = sizeof out;
		while (ret == LZMA_OK)
			ret = s.avail_out == 0 ? 255 : lzma_code(&s, LZMA_FINISH);
		if (ret == LZMA_STREAM_END && s.avail_in > 0 && form == 'l')
			ret = LZMA_DATA_ERROR; /* as xz(1) says of garbage after the end */
		uint32_t have = sizeof out - s.avail_out;
		uint8_t reply[5] = { ret, have, have >> 8, have >> 16, have >> 24 };
		fwrite(reply, 1, 5, stdout);
		fwrite(out, 1, have, stdout);
		fflush(stdout);
		lzma_end(&s);
		free(in);
	}
	return 0;
}
