"""From a frame of purchases and features of the articles to recommendations, in a temporary folder, within seconds."""
import os
import tempfile

import numpy as np
import pandas as pd

folder = tempfile.TemporaryDirectory()  # removed at the end
os.chdir(folder.name)

# A shop of 200 articles in ten groups. Customers stay in a group, and mostly buy the article after the last one.
chance = np.random.default_rng(7)
rows = []
for customer in range(300):
    article = int(chance.integers(200))
    for day in range(int(chance.integers(5, 10))):
        rows.append((f"customer {customer}", f"article {article:03}", day))
        article = article // 20 * 20 + (article + int(chance.integers(1, 3))) % 20
purchases = pd.DataFrame(rows, columns=["customer", "article", "day"]).sample(frac=1, random_state=7)
articles = [f"article {i:03}" for i in range(200)]
group, place = np.divmod(np.arange(200), 20)
text_features = 3 * np.eye(10)[group] + chance.normal(0, 0.1, (200, 10))
image_features = np.column_stack((np.cos(place * np.pi / 10), np.sin(place * np.pi / 10), chance.normal(0, 0.1, (200, 6))))

# example-begin data
import mql4grec

# purchases: a frame with the columns customer, article and day; the features have a row for each of the articles
shop = mql4grec.write_dataset("Shop", purchases, user="customer", item="article", time="day", items=articles, titles=articles,
                              features={"text": text_features, "image": image_features}, levels=4, code_count=16, translators="translators")
# example-end data

# example-begin train
trainer = mql4grec.Trainer("Shop", "model", recipe="fast", tasks="next", epochs=12, batch_size=64, learning_rate=4e-3,
                           model_width=64, inner_width=128, layers=1, dropout=0)


def report(p: mql4grec.Progress) -> None:
    if p.epoch_ended:
        print(f"epoch {p.epoch}: training loss {p.loss:.3f}, validation loss {p.valid_loss:.3f}")


trainer.fit(report)  # Ctrl-C stops it after its state is written; fit(resume=True) goes on to the same bits
# example-end train

# example-begin recommend
import mql4grec
recommender = mql4grec.Recommender.load("model", "Shop")
items, scores = recommender.recommend([12, 13, 15], k=10)
# example-end recommend

# example-begin keys
for item, score in zip(items, scores):
    print(shop.items[item], recommender.title(item), f"{score:.3f}")
bought = shop.numbers(["article 042", "article 043"])
again, _ = recommender.recommend(bought, k=5, deny=bought)  # not what was bought
# example-end keys

# example-begin evaluate
found = recommender.evaluate(at=[1, 10])
print(f"HR@10 {found.sequence['fused'].hit[10]:.3f}, of text alone {found.sequence['text'].hit[10]:.3f}, {found.users} users")
# example-end evaluate

# example-begin candidates
# Fifty candidates for each user, with scores and codes, as arrays: the features of a ranker.
users = [recommender.history(user) for user in range(50)]
candidates = recommender.candidates(users, k=50, codes=True)
assert candidates.items.shape == candidates.scores.shape == (50, 50)
assert candidates.codes.shape == (50, 50, sum(recommender.levels))
# Here: the mean score of the candidates that share their first code of text with the user's last article.
last = recommender.codes([history[-1] for history in users])
similar = candidates.codes[:, :, 0] == last[:, :1]
print(f"{similar.mean():.2f} of the candidates are like the last article; their mean score is {candidates.scores[similar].mean():.2f}")
# example-end candidates

assert found.sequence["fused"].hit[10] > 0.5 and not set(again) & set(bought)

# example-begin rules
cheap = range(0, 60)
shelves = mql4grec.Recommender.load("model", "Shop", sets={"cheap": cheap, "fragile": [40, 41, 42, 43]})
items, _ = shelves.recommend([12, 13, 15], k=10, any_of=["cheap"], quotas={"fragile": 2}, exclude_seen=True)
assert max(items) < 60 and not {12, 13, 15} & set(items.tolist()) and len({40, 41, 42, 43} & set(items.tolist())) <= 2
# example-end rules

# example-begin change
text, image = (mql4grec.Translator.load(f"translators/{kind}") for kind in ("text", "image"))
live = mql4grec.Recommender.load("model", "Shop", catalog_log="Shop.changes")
new = live.items
live.set_items([new], live.place((text, text_features[42]), (image, image_features[42])))  # a new article, much like article 42
live.remove_items([43])  # sold out
items, _ = live.recommend_new([40, 41], [new])
assert items.tolist() == [new] and 43 not in live.recommend([40, 41], k=50).items
# example-end change
