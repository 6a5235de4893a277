"""Pages are short enough to be read: words of a page, words of a sentence."""

from tools.docs import words

PAGES = words.pages()


def test_no_page_but_a_reference_has_more_than_1500_words():
    long = {page.name for page in PAGES if page.words > words.MOST_WORDS and not page.is_reference}

    assert set() == long


def test_no_sentence_is_longer_than_the_bound():
    read = [page for page in PAGES if not page.is_reference]

    assert [] == [each for each in words.worst_sentences(read, 20) if each[0] > words.MOST_IN_A_SENTENCE]


def test_a_sentence_ends_where_a_reader_ends_it():
    page = words.Page(words.ROOT / "README.md", "# Title\n\nOne two three. Four `five six` seven:\n\n- eight nine\n- ten [eleven twelve](x.md)\n\n```python\nno prose here\n```\n")  # fmt: skip

    assert ["One two three.", "Four `code` seven:", "eight nine", "ten eleven twelve"] == page.sentences


def test_syllables_are_counted_by_groups_of_vowels():
    counts = {word: words.syllables(word) for word in ("rate", "quota", "allocation", "table", "a")}

    assert {"rate": 1, "quota": 2, "allocation": 4, "table": 2, "a": 1} == counts
