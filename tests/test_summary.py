"""What a summary says of the machine."""

import pytest

from leed_jax import summary

X86 = """processor\t: 0
vendor_id\t: AuthenticAMD
model\t\t: 1
model name\t: AMD EPYC
cpu MHz\t\t: {mhz}
flags\t\t: fpu {flag}

processor\t: 1
model name\t: another
"""
ARM = "processor : 0\nBogoMIPS : {mhz}\nFeatures : fp {flag}\nCPU part : 0xd0c\n"


@pytest.mark.parametrize("text", [X86, ARM])
def test_a_processor_is_told_by_what_it_can_do_and_not_by_its_clock(text, tmp_path):
    def told(**values):
        (tmp_path / "cpuinfo").write_text(text.format(**values))
        return summary.processor(tmp_path / "cpuinfo")

    slow = told(mhz=2000, flag="avx2")
    assert slow == told(mhz=3000, flag="avx2") != told(mhz=2000, flag="avx512f")
    assert slow.startswith("AMD EPYC ") is (text == X86) and "another" not in slow


def test_where_no_processor_is_described_the_platform_has_a_word(tmp_path):
    assert summary.processor(tmp_path / "nothing")
