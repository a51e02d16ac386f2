"""XOR, the smallest problem that needs a hidden layer, learned by a 2-4-1 net.

Run it with: python examples/xor.py
"""

import numpy as np

import cbp

X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)
Y = np.array([0, 1, 1, 0])


def main():
    net = cbp.Network([2, 4, 1], activation="tanh", output_activation="sigmoid", seed=1)
    trainer = cbp.Trainer(net, optimizer=cbp.SGD(0.5, momentum=0.9), batch_size=4, seed=1)

    print("epoch      loss   0 xor 0   0 xor 1   1 xor 0   1 xor 1")
    epoch = 0
    for epochs in (0, 10, 10, 30, 50, 100, 300):
        if epochs:
            trainer.fit(X, Y, epochs=epochs, progress=False)  # fit goes on where it stopped
        epoch += epochs
        outputs = "".join(f"{y:10.4f}" for y in net.predict(X)[:, 0])
        print(f"{epoch:5}  {net.gradient(X, Y).loss:8.5f}{outputs}")

    answers = (net.predict(X)[:, 0] > 0.5).astype(int)
    print("answers:", answers, "wanted:", Y)


if __name__ == "__main__":
    main()
